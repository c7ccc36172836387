//! What a ticket is called at the door, in every answer and message: one name, one value. Must never depend on anything but the
//! event's tag and the serial.

use crate::id::{EventTag, TicketSerial};

/// Crockford's base 32: no letters that are read as digits.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// What a ticket is called at the door: the event's tag in eight characters, and the serial within it.
#[must_use]
pub fn ticket_number(tag: EventTag, serial: TicketSerial) -> String {
    let mut number = String::with_capacity(16);
    for place in (0..8).rev() {
        let digit = (tag.0 >> (place * 5)) & 31;
        number.push(char::from(DIGITS[digit as usize]));
    }
    number.push_str(&format!("-{:06}", serial.0));
    number
}

/// The event's tag and the serial that a ticket's number names. Letters are read without case, and those that look like
/// digits as these, as a person who reads a ticket aloud may have done.
#[must_use]
pub fn read_ticket_number(number: &str) -> Option<(EventTag, TicketSerial)> {
    let (tag, serial) = number.split_once('-')?;
    if tag.len() != 8 || !(6..=19).contains(&serial.len()) || !serial.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let tag = tag.bytes().try_fold(0_u64, |tag, byte| {
        let digit = match byte.to_ascii_uppercase() {
            b'O' => b'0',
            b'I' | b'L' => b'1',
            digit => digit,
        };
        let value = DIGITS.iter().position(|known| *known == digit)?;
        Some(tag << 5 | value as u64)
    })?;
    Some((EventTag(tag), TicketSerial(serial.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticket_numbers_differ_between_events() {
        assert_eq!(ticket_number(EventTag((1 << 40) - 1), TicketSerial(1)), "ZZZZZZZZ-000001");
        assert_eq!(ticket_number(EventTag(32), TicketSerial(1_234_567)), "00000010-1234567");
    }

    #[test]
    fn a_ticket_number_that_was_read_out_is_understood() {
        for (tag, serial) in [(0, 1), (32, 1_234_567), ((1 << 40) - 1, 999_999)] {
            let (tag, serial) = (EventTag(tag), TicketSerial(serial));
            let number = ticket_number(tag, serial);
            assert_eq!(read_ticket_number(&number), Some((tag, serial)));
            assert_eq!(read_ticket_number(&number.to_lowercase()), Some((tag, serial)));
        }
        assert_eq!(read_ticket_number("OOOOOOil-000002"), Some((EventTag(33), TicketSerial(2))));
        for wrong in
            ["", "00000010", "0000001-000001", "00000010-1", "00000010-00000x", "0000001U-000001", "가나-000001"]
        {
            assert_eq!(read_ticket_number(wrong), None, "{wrong}");
        }
    }
}
