//! Bytes in and out: varints, fixed words, strings, lists, and [`Stored`], which every member of a fact implements.
//! Must never allocate by a length that the bytes at hand cannot hold.

use super::DecodeError;
use serde_json::Value;

/// Bytes being read.
pub(super) struct Input<'a> {
    rest: &'a [u8],
    /// Whether what is read was written before slots had a limit of holds: some parts are shorter there.
    before_hold_limits: bool,
    /// Whether what is read was written before seats could be blocked: rules are shorter there.
    before_blocking: bool,
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, before_hold_limits: false, before_blocking: false }
    }

    /// What follows was written before slots had a limit of holds.
    pub(super) fn is_before_hold_limits(&mut self) {
        self.before_hold_limits = true;
    }

    /// A part that is there since slots have a limit of holds, and what it is where it is not.
    pub(super) fn since_hold_limits<T: Stored>(&mut self, before: T) -> Result<T, DecodeError> {
        if self.before_hold_limits { Ok(before) } else { T::take(self) }
    }

    /// What follows was written before seats could be blocked.
    pub(super) fn is_before_blocking(&mut self) {
        self.before_blocking = true;
    }

    /// Whether it was said so.
    pub(super) fn knows_blocking(&self) -> bool {
        !self.before_blocking
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| DecodeError::malformed("too short"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// What is not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// An unsigned number, seven bits to a byte, low ones first; only the shortest form is good.
    pub(super) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::malformed("a number has more than 64 bits"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                let shortest = byte != 0 || shift == 0;
                return if shortest { Ok(value) } else { Err(DecodeError::malformed("a number is padded")) };
            }
        }
        Err(DecodeError::malformed("a number has no end"))
    }

    /// The length of a list whose elements take at least one byte each.
    pub(super) fn length(&mut self) -> Result<usize, DecodeError> {
        match usize::try_from(self.varint()?) {
            Ok(length) if length <= self.rest.len() => Ok(length),
            Ok(_) | Err(_) => Err(DecodeError::malformed("a length exceeds the bytes at hand")),
        }
    }

    /// Succeeds if everything was read.
    pub(super) fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::malformed("bytes are left over")) }
    }
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Something that facts and snapshots consist of.
pub(super) trait Stored: Sized {
    /// Appends its stored form.
    fn put(&self, out: &mut Vec<u8>);
    /// Reads it back.
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError>;
    /// Describes it as JSON, to be read by people.
    fn describe(&self) -> Value;
}

impl Stored for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        match input.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError::malformed(format!("{other} is neither yes nor no"))),
        }
    }
    fn describe(&self) -> Value {
        Value::from(*self)
    }
}

macro_rules! unsigned {
    ($($type:ty),*) => {$(
        impl Stored for $type {
            fn put(&self, out: &mut Vec<u8>) {
                put_varint(out, u64::from(*self));
            }
            fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
                <$type>::try_from(input.varint()?).map_err(|_| DecodeError::malformed("a number is too large"))
            }
            fn describe(&self) -> Value {
                Value::from(*self)
            }
        }
    )*};
}
unsigned!(u16, u32, u64);

impl Stored for i64 {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, ((*self << 1) ^ (*self >> 63)) as u64);
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let folded = input.varint()?;
        Ok((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }
    fn describe(&self) -> Value {
        Value::from(*self)
    }
}

impl Stored for u128 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok(Self::from_be_bytes(input.array()?))
    }
    fn describe(&self) -> Value {
        Value::from(format!("{self:032x}"))
    }
}

impl Stored for Box<str> {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        out.extend_from_slice(self.as_bytes());
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let length = input.length()?;
        let text = std::str::from_utf8(input.take(length)?);
        Ok(text.map_err(|_| DecodeError::malformed("a text is not UTF-8"))?.into())
    }
    fn describe(&self) -> Value {
        Value::from(&**self)
    }
}

impl<T: Stored> Stored for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                value.put(out);
            }
        }
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok(if bool::take(input)? { Some(T::take(input)?) } else { None })
    }
    fn describe(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::describe)
    }
}

impl<T: Stored> Stored for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        self.iter().for_each(|item| item.put(out));
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let length = input.length()?;
        // Grown as elements are read: an element in memory may be far larger than its stored form.
        let mut items = Self::with_capacity(length.min(1024));
        for _ in 0..length {
            items.push(T::take(input)?);
        }
        Ok(items)
    }
    fn describe(&self) -> Value {
        self.iter().map(T::describe).collect()
    }
}
