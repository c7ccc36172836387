//! Follows the frames of HTTP/2 (RFC 9113, 4.1) as their bytes pass, to know whether the client has sent a part of one, or a part
//! of a block of headers: that part gets a deadline. Reads lengths and kinds only; must never judge a frame's content.

/// Bytes of the preface that a client sends first (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's header.
const HEADER: usize = 9;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const SETTINGS: u8 = 0x4;
const CONTINUATION: u8 = 0x9;
/// The flag of [`HEADERS`] and [`CONTINUATION`]: the block of headers ends with this frame.
const END_HEADERS: u8 = 0x4;

/// See the module.
pub(super) struct Frames {
    preface_left: usize,
    has_settings: bool,
    header: [u8; HEADER],
    header_len: usize,
    payload_left: usize,
    /// Whether a block of headers has begun and not ended.
    in_block: bool,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self {
            preface_left: PREFACE.len(),
            has_settings: false,
            header: [0; HEADER],
            header_len: 0,
            payload_left: 0,
            in_block: false,
        }
    }

    /// Whether nothing is half-sent. The data of a request's body does not count: it has the request's deadline.
    pub(super) fn is_between(&self) -> bool {
        let in_frame = self.header_len > 0 && self.kind() != Some(DATA);
        self.preface_left == 0 && self.has_settings && !self.in_block && !in_frame
    }

    /// Reads these bytes; returns whether nothing was half-sent at some point of them.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> bool {
        let mut was_between = false;
        while !bytes.is_empty() {
            let taken = self.step(bytes);
            bytes = bytes.get(taken..).unwrap_or(&[]);
            was_between |= self.is_between();
        }
        was_between
    }

    /// Reads one part (preface, header or payload) from the start of `bytes`, which are not empty; returns its length.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.preface_left > 0 {
            let taken = bytes.len().min(self.preface_left);
            self.preface_left -= taken;
            return taken;
        }
        let taken;
        if self.header_len < HEADER {
            taken = bytes.len().min(HEADER - self.header_len);
            self.header[self.header_len..self.header_len + taken].copy_from_slice(&bytes[..taken]);
            self.header_len += taken;
            if self.header_len < HEADER {
                return taken;
            }
            let [high, middle, low, ..] = self.header;
            self.payload_left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        } else {
            taken = bytes.len().min(self.payload_left);
            self.payload_left -= taken;
        }
        if self.payload_left == 0 {
            self.frame_ends();
        }
        taken
    }

    /// The kind of the frame that has begun, once its header is whole.
    fn kind(&self) -> Option<u8> {
        (self.header_len == HEADER).then_some(self.header[3])
    }

    fn frame_ends(&mut self) {
        match self.header[3] {
            SETTINGS => self.has_settings = true,
            HEADERS | CONTINUATION => self.in_block = self.header[4] & END_HEADERS == 0,
            _ => {}
        }
        self.header_len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.extend(std::iter::repeat_n(7, usize::from(length)));
        frame
    }

    /// Passes `parts` in one piece and byte by byte: whether nothing is half-sent after all of them.
    fn check(parts: &[&[u8]], expected: bool) {
        let bytes = parts.concat();
        let mut at_once = Frames::new();
        at_once.pass(&bytes);
        let mut one_by_one = Frames::new();
        bytes.chunks(1).for_each(|byte| {
            let _ = one_by_one.pass(byte);
        });
        assert_eq!((at_once.is_between(), one_by_one.is_between()), (expected, expected), "{bytes:?}");
    }

    #[test]
    fn what_is_begun_is_known_until_it_is_whole() {
        let settings = frame(SETTINGS, 0, 6);
        check(&[&PREFACE[..10]], false);
        check(&[PREFACE], false);
        check(&[PREFACE, &settings[..12]], false);
        check(&[PREFACE, &settings], true);
        check(&[PREFACE, &frame(SETTINGS, 0, 0)], true);
        let whole = frame(HEADERS, END_HEADERS, 20);
        check(&[PREFACE, &settings, &whole], true);
        check(&[PREFACE, &settings, &whole[..4]], false);
        check(&[PREFACE, &settings, &whole[..15]], false);
        let (begun, goes_on, ends) =
            (frame(HEADERS, 0, 20), frame(CONTINUATION, 0, 3), frame(CONTINUATION, END_HEADERS, 3));
        check(&[PREFACE, &settings, &begun], false);
        check(&[PREFACE, &settings, &begun, &goes_on], false);
        check(&[PREFACE, &settings, &begun, &goes_on, &ends], true);
        let data = frame(DATA, 0, 200);
        check(&[PREFACE, &settings, &whole, &data[..100]], true);
        check(&[PREFACE, &settings, &whole, &data[..4]], false);
        check(&[PREFACE, &settings, &whole, &data, &settings[..5]], false);
    }

    #[test]
    fn the_end_of_one_thing_before_the_beginning_of_the_next_is_seen() {
        let mut frames = Frames::new();
        assert!(!frames.pass(PREFACE));
        let (settings, whole) = (frame(SETTINGS, 0, 6), frame(HEADERS, END_HEADERS, 20));
        assert!(frames.pass(&[&settings[..], &whole[..12]].concat()));
        assert!(!frames.is_between());
        assert!(!frames.pass(&whole[12..15]));
        assert!(frames.pass(&[&whole[15..], &whole[..3]].concat()));
        assert!(!frames.is_between());
    }
}
