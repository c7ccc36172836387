//! Seals: HMAC-SHA256 over what a buyer carries around, under keys derived from the configured secret by label, so
//! that no seal of one kind passes for another. Checked without a store and in constant time.

use crate::limits::Who;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use onsale_engine::id::{BuyerId, EventId, Ordinal, PaymentId, ReservationId, Slot, TicketSerial};
use onsale_engine::sale::draw::DrawSeed;
use onsale_engine::time::Timestamp;
use sha2::Sha256;
use smallvec::SmallVec;
use subtle::ConstantTimeEq;

type Sealing = Hmac<Sha256>;

/// Bytes of a seal that are kept.
const SEAL: usize = 16;
/// Bytes of a queue token: slot, expiry, seal.
const QUEUE_TOKEN: usize = 8 + 8 + SEAL;
/// Bytes of a place's ticket: ordinal, incarnation, seal.
const PLACE_TICKET: usize = 8 + 8 + SEAL;

/// The keys, each with its label already absorbed.
pub struct Seals {
    queue: Sealing,
    place: Sealing,
    payment: Sealing,
    ticket: Sealing,
    request: Sealing,
    draw: Sealing,
    account: Sealing,
}

impl Seals {
    /// Derives the keys from the configured secret.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self {
            queue: derived(secret, "onsale queue token 1"),
            place: derived(secret, "onsale place ticket 1"),
            payment: derived(secret, "onsale payment key 1"),
            ticket: derived(secret, "onsale ticket 1"),
            request: derived(secret, "onsale request 1"),
            draw: derived(secret, "onsale draw seed 1"),
            account: derived(secret, "onsale account 1"),
        }
    }

    /// The queue token of an admitted buyer: `qr_…`, the same whenever it is asked for. `slot` is 0 where admission
    /// is not required.
    #[must_use]
    pub fn queue_token(&self, event: EventId, buyer: BuyerId, slot: Slot, expires_at: Timestamp) -> String {
        let mut bytes = [0; QUEUE_TOKEN];
        bytes[..8].copy_from_slice(&slot.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&expires_at.0.to_be_bytes());
        let seal = self.queue_seal(event, buyer, &bytes[..16]);
        bytes[16..].copy_from_slice(&seal);
        prefixed("qr_", bytes)
    }

    /// The slot that a queue token names, and when it says that the slot ends; `None` when the token was not sealed
    /// for this event and buyer. Whether the slot still lives is the sale's to say.
    #[must_use]
    pub fn read_queue_token(&self, token: &str, event: EventId, buyer: BuyerId) -> Option<(Slot, Timestamp)> {
        let mut bytes = [0; QUEUE_TOKEN];
        let read = URL_SAFE_NO_PAD.decode_slice(token.strip_prefix("qr_")?, &mut bytes).ok()?;
        if read != QUEUE_TOKEN {
            return None;
        }
        let seal = self.queue_seal(event, buyer, &bytes[..16]);
        if !bool::from(seal.ct_eq(&bytes[16..])) {
            return None;
        }
        let slot = u64::from_be_bytes(bytes[..8].try_into().ok()?);
        let expires_at = i64::from_be_bytes(bytes[8..16].try_into().ok()?);
        Some((Slot(slot), Timestamp(expires_at)))
    }

    fn queue_seal(&self, event: EventId, buyer: BuyerId, body: &[u8]) -> [u8; SEAL] {
        seal(&self.queue, &[event.0.as_bytes(), buyer.0.as_bytes(), body])
    }

    /// The signed place of a buyer in a line: `pt_…`. `incarnation` tells lines of one event apart that were begun
    /// anew.
    #[must_use]
    pub fn place_ticket(&self, event: EventId, buyer: BuyerId, ordinal: Ordinal, incarnation: u64) -> String {
        let mut bytes = [0; PLACE_TICKET];
        bytes[..8].copy_from_slice(&ordinal.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&incarnation.to_be_bytes());
        let seal = seal(&self.place, &[event.0.as_bytes(), buyer.0.as_bytes(), &bytes[..16]]);
        bytes[16..].copy_from_slice(&seal);
        prefixed("pt_", bytes)
    }

    /// The ordinal and the incarnation that a place's ticket names; `None` when it was not sealed for this event and
    /// buyer. Whether it restores anything is the sale's to say.
    #[must_use]
    pub fn read_place_ticket(&self, ticket: &str, event: EventId, buyer: BuyerId) -> Option<(Ordinal, u64)> {
        let mut bytes = [0; PLACE_TICKET];
        let read = URL_SAFE_NO_PAD.decode_slice(ticket.strip_prefix("pt_")?, &mut bytes).ok()?;
        if read != PLACE_TICKET {
            return None;
        }
        let seal = seal(&self.place, &[event.0.as_bytes(), buyer.0.as_bytes(), &bytes[..16]]);
        if !bool::from(seal.ct_eq(&bytes[16..])) {
            return None;
        }
        let ordinal = u64::from_be_bytes(bytes[..8].try_into().ok()?);
        Some((Ordinal(ordinal), u64::from_be_bytes(bytes[8..16].try_into().ok()?)))
    }

    /// The seed of an event's draw: nobody without the secret can guess it, and whoever asks again, as after a crash
    /// between an event and its sale, gets the same.
    #[must_use]
    pub fn draw_seed(&self, event: EventId) -> DrawSeed {
        DrawSeed(mac(&self.draw, &[event.0.as_bytes()]))
    }

    /// 128 bits over the parts of a request, each with its length before it: what idempotency keys are remembered
    /// by. Keyed, so that nobody who reads the storage can guess a body (which may hold a password) by hashing.
    #[must_use]
    pub fn request_digest(&self, parts: &[&[u8]]) -> u128 {
        u128::from_be_bytes(digest(&self.request, parts))
    }

    /// 128 bits over what concerns accounts, for one purpose. Keyed, so that nobody who reads a storage or a log can find
    /// an address by trying.
    #[must_use]
    pub fn account_digest(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 16] {
        let all: SmallVec<[&[u8]; 4]> = std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()).collect();
        digest(&self.account, &all)
    }

    /// The hash of an e-mail address in its normal form: what is left of the address of a deleted account.
    #[must_use]
    pub fn email_hash(&self, email_key: &str) -> [u8; 16] {
        self.account_digest("email", &[email_key.as_bytes()])
    }

    /// The hash of a client's address that an account has logged in from; of another account it is another one.
    #[must_use]
    pub fn client_hash(&self, account: BuyerId, client: Who) -> [u8; 16] {
        self.account_digest("client", &[account.0.as_bytes(), &client.to_be_bytes()])
    }

    /// A client's address for the log: the same whenever it comes again.
    #[must_use]
    pub fn client_name(&self, client: Who) -> String {
        let hash = u128::from_be_bytes(self.account_digest("log", &[&client.to_be_bytes()]));
        format!("{:016x}", hash >> 64)
    }

    /// The key that a payment is confirmed with: `pk_…`.
    #[must_use]
    pub fn payment_key(&self, payment: PaymentId, buyer: BuyerId) -> String {
        let seal = seal(&self.payment, &[payment.0.as_bytes(), buyer.0.as_bytes()]);
        format!("pk_{}", URL_SAFE_NO_PAD.encode(seal))
    }

    /// Whether a payment key is that of this payment and buyer.
    #[must_use]
    pub fn fits_payment_key(&self, key: &str, payment: PaymentId, buyer: BuyerId) -> bool {
        self.payment_key(payment, buyer).as_bytes().ct_eq(key.as_bytes()).into()
    }

    /// What a ticket's QR code says: `onsale1.<reservation>.<serial>.<seal>`. Whoever holds the secret checks it
    /// offline.
    #[must_use]
    pub fn qr_data(&self, event: EventId, reservation: ReservationId, serial: TicketSerial) -> String {
        let seal = seal(&self.ticket, &[event.0.as_bytes(), reservation.0.as_bytes(), &serial.0.to_be_bytes()]);
        format!("onsale1.{reservation}.{}.{}", serial.0, URL_SAFE_NO_PAD.encode(seal))
    }

    /// Whether `data` is what [`Seals::qr_data`] says of this ticket.
    #[must_use]
    pub fn fits_qr_data(&self, data: &str, event: EventId, reservation: ReservationId, serial: TicketSerial) -> bool {
        self.qr_data(event, reservation, serial).as_bytes().ct_eq(data.as_bytes()).into()
    }
}

/// The first 128 bits of a MAC over parts, each with its length before it, so that they cannot run into each other.
fn digest(key: &Sealing, parts: &[&[u8]]) -> [u8; 16] {
    let mut mac = key.clone();
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    let bytes: [u8; 32] = mac.finalize().into_bytes().into();
    let mut half = [0; 16];
    half.copy_from_slice(&bytes[..16]);
    half
}

/// A MAC keyed by HMAC(secret, label), for what makes seals of its own form.
#[must_use]
pub fn derived_key(secret: &[u8], label: &str) -> Hmac<Sha256> {
    derived(secret, label)
}

/// A MAC keyed by HMAC(secret, label).
fn derived(secret: &[u8], label: &str) -> Sealing {
    let key = mac(&keyed(secret), &[label.as_bytes()]);
    keyed(&key)
}

/// HMAC takes a key of any length; the fall-back is unreachable and would seal with an empty key.
fn keyed(key: &[u8]) -> Sealing {
    Sealing::new_from_slice(key).unwrap_or_else(|_| Sealing::new(&Default::default()))
}

fn mac(key: &Sealing, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = key.clone();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// A token as a buyer carries it: what kind it is, and its bytes.
fn prefixed(prefix: &str, bytes: [u8; 8 + 8 + SEAL]) -> String {
    let mut encoded = [0; (8 + 8 + SEAL) * 2];
    let length = URL_SAFE_NO_PAD.encode_slice(bytes, &mut encoded).unwrap_or(0);
    let encoded = std::str::from_utf8(&encoded[..length]).unwrap_or_default();
    let mut token = String::with_capacity(prefix.len() + encoded.len());
    token.push_str(prefix);
    token.push_str(encoded);
    token
}

/// Every part has a fixed length, so parts cannot run into each other.
fn seal(key: &Sealing, parts: &[&[u8]]) -> [u8; SEAL] {
    let mut seal = [0; SEAL];
    seal.copy_from_slice(&mac(key, parts)[..SEAL]);
    seal
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn seals() -> Seals {
        Seals::new(b"an example secret of 32 bytes or more")
    }

    #[test]
    fn a_queue_token_is_good_for_its_event_and_buyer_alone() {
        let (event, buyer) = (EventId(Uuid::from_u128(1)), BuyerId(Uuid::from_u128(2)));
        let token = seals().queue_token(event, buyer, Slot(9), Timestamp(77));
        assert_eq!(seals().read_queue_token(&token, event, buyer), Some((Slot(9), Timestamp(77))));
        assert_eq!(token, seals().queue_token(event, buyer, Slot(9), Timestamp(77)));
        assert_eq!(seals().read_queue_token(&token, EventId(Uuid::from_u128(3)), buyer), None);
        assert_eq!(seals().read_queue_token(&token, event, BuyerId(Uuid::from_u128(3))), None);
        let other = Seals::new(b"another example secret of 32 bytes..");
        assert_eq!(other.read_queue_token(&token, event, buyer), None);
    }

    #[test]
    fn no_bit_of_a_queue_token_can_be_changed() {
        let (event, buyer) = (EventId(Uuid::from_u128(1)), BuyerId(Uuid::from_u128(2)));
        let token = seals().queue_token(event, buyer, Slot(9), Timestamp(77));
        let bytes = URL_SAFE_NO_PAD.decode(&token[3..]).unwrap_or_default();
        assert_eq!(bytes.len(), QUEUE_TOKEN);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let forged = format!("qr_{}", URL_SAFE_NO_PAD.encode(changed));
            assert_eq!(seals().read_queue_token(&forged, event, buyer), None);
        }
        for junk in ["", "qr_", "qr_AAAA", &token[3..], &format!("{token}AAAA")] {
            assert_eq!(seals().read_queue_token(junk, event, buyer), None);
        }
    }

    #[test]
    fn parts_of_a_request_do_not_run_into_each_other() {
        let seals = seals();
        assert_ne!(seals.request_digest(&[b"ab", b"c"]), seals.request_digest(&[b"a", b"bc"]));
        assert_eq!(seals.request_digest(&[b"ab", b"c"]), seals.request_digest(&[b"ab", b"c"]));
    }

    #[test]
    fn an_address_is_another_one_for_every_purpose_and_account() {
        let seals = seals();
        let [one, other] = [1, 2].map(|number| BuyerId(Uuid::from_u128(number)));
        assert_eq!(seals.client_hash(one, 7), seals.client_hash(one, 7));
        assert_ne!(seals.client_hash(one, 7), seals.client_hash(other, 7));
        assert_ne!(seals.client_hash(one, 7), seals.client_hash(one, 8));
        assert_ne!(seals.account_digest("email", &[b"a"]), seals.account_digest("emaila", &[]));
        assert_eq!(seals.client_name(7).len(), 16);
        let another = Seals::new(b"another example secret of 32 bytes..");
        assert_ne!(seals.email_hash("a@example.org"), another.email_hash("a@example.org"));
    }

    #[test]
    fn a_places_ticket_names_its_event_buyer_ordinal_and_line() {
        let (event, buyer) = (EventId(Uuid::from_u128(1)), BuyerId(Uuid::from_u128(2)));
        let ticket = seals().place_ticket(event, buyer, Ordinal(9), 0);
        assert!(ticket.starts_with("pt_"));
        assert_eq!(ticket, seals().place_ticket(event, buyer, Ordinal(9), 0));
        let others = [
            seals().place_ticket(EventId(Uuid::from_u128(3)), buyer, Ordinal(9), 0),
            seals().place_ticket(event, BuyerId(Uuid::from_u128(3)), Ordinal(9), 0),
            seals().place_ticket(event, buyer, Ordinal(8), 0),
            seals().place_ticket(event, buyer, Ordinal(9), 1),
        ];
        assert!(!others.contains(&ticket));
        assert_eq!(seals().read_place_ticket(&ticket, event, buyer), Some((Ordinal(9), 0)));
        for other in &others[..2] {
            assert_eq!(seals().read_place_ticket(other, event, buyer), None, "a foreign one");
        }
        let another = Seals::new(b"another example secret of 32 bytes..");
        assert_eq!(another.read_place_ticket(&ticket, event, buyer), None);
        let bytes = URL_SAFE_NO_PAD.decode(&ticket[3..]).unwrap_or_default();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let forged = format!("pt_{}", URL_SAFE_NO_PAD.encode(changed));
            assert_eq!(seals().read_place_ticket(&forged, event, buyer), None, "bit {bit}");
        }
        let token = seals().queue_token(event, buyer, Slot(9), Timestamp(0));
        for junk in ["", "pt_", "pt_AAAA", &ticket[3..], &format!("{ticket}AAAA"), &token.replace("qr_", "pt_")] {
            assert_eq!(seals().read_place_ticket(junk, event, buyer), None);
        }
    }

    #[test]
    fn payment_keys_and_tickets_fit_only_themselves() {
        let (payment, buyer) = (PaymentId(Uuid::from_u128(4)), BuyerId(Uuid::from_u128(2)));
        let key = seals().payment_key(payment, buyer);
        assert!(key.starts_with("pk_") && seals().fits_payment_key(&key, payment, buyer));
        assert!(!seals().fits_payment_key(&key, PaymentId(Uuid::from_u128(5)), buyer));
        let (event, reservation) = (EventId(Uuid::from_u128(1)), ReservationId(Uuid::from_u128(6)));
        let data = seals().qr_data(event, reservation, TicketSerial(3));
        assert!(seals().fits_qr_data(&data, event, reservation, TicketSerial(3)));
        assert!(!seals().fits_qr_data(&data, event, reservation, TicketSerial(4)));
    }
}
