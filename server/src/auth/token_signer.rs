//! Signs what buyers carry: queue tokens, places' tickets, payment keys, QR codes. HMAC-SHA256 under keys derived from the
//! configured secret, one for each purpose, so that a MAC of one kind is invalid for another. Must never need a store to check
//! one, nor compare one byte by byte.

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

type Key = Hmac<Sha256>;

/// Bytes of a MAC that are kept.
const MAC: usize = 16;
/// Bytes of a queue token: slot, expiry, MAC.
const QUEUE_TOKEN: usize = 8 + 8 + MAC;
/// Bytes of a place's ticket: ordinal, incarnation, MAC.
const PLACE_TICKET: usize = 8 + 8 + MAC;

/// The keys, one for each purpose.
pub struct TokenSigner {
    queue: Key,
    place: Key,
    payment: Key,
    ticket: Key,
    request: Key,
    draw: Key,
    account: Key,
}

impl TokenSigner {
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

    /// The queue token of an admitted buyer: `qr_…`, the same at every call. `slot` is 0 where admission
    /// is not required.
    #[must_use]
    pub fn queue_token(&self, event: EventId, buyer: BuyerId, slot: Slot, expires_at: Timestamp) -> String {
        let mut bytes = [0; QUEUE_TOKEN];
        bytes[..8].copy_from_slice(&slot.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&expires_at.0.to_be_bytes());
        let mac_bytes = self.queue_mac(event, buyer, &bytes[..16]);
        bytes[16..].copy_from_slice(&mac_bytes);
        prefixed("qr_", bytes)
    }

    /// The slot that a queue token names, and the slot's end; `None` when the token was not signed for this event and buyer.
    /// Whether the slot still exists is for the sale to decide.
    #[must_use]
    pub fn read_queue_token(&self, token: &str, event: EventId, buyer: BuyerId) -> Option<(Slot, Timestamp)> {
        let mut bytes = [0; QUEUE_TOKEN];
        let read = URL_SAFE_NO_PAD.decode_slice(token.strip_prefix("qr_")?, &mut bytes).ok()?;
        if read != QUEUE_TOKEN {
            return None;
        }
        let mac_bytes = self.queue_mac(event, buyer, &bytes[..16]);
        if !bool::from(mac_bytes.ct_eq(&bytes[16..])) {
            return None;
        }
        let slot = u64::from_be_bytes(bytes[..8].try_into().ok()?);
        let expires_at = i64::from_be_bytes(bytes[8..16].try_into().ok()?);
        Some((Slot(slot), Timestamp(expires_at)))
    }

    fn queue_mac(&self, event: EventId, buyer: BuyerId, body: &[u8]) -> [u8; MAC] {
        short_mac(&self.queue, &[event.0.as_bytes(), buyer.0.as_bytes(), body])
    }

    /// The signed place of a buyer in a line: `pt_…`. `incarnation` is the line's number among the event's: a
    /// line that was begun again has another one.
    #[must_use]
    pub fn place_ticket(&self, event: EventId, buyer: BuyerId, ordinal: Ordinal, incarnation: u64) -> String {
        let mut bytes = [0; PLACE_TICKET];
        bytes[..8].copy_from_slice(&ordinal.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&incarnation.to_be_bytes());
        let mac_bytes = short_mac(&self.place, &[event.0.as_bytes(), buyer.0.as_bytes(), &bytes[..16]]);
        bytes[16..].copy_from_slice(&mac_bytes);
        prefixed("pt_", bytes)
    }

    /// The ordinal and the incarnation that a place's ticket names; `None` when it was not signed for this event and
    /// buyer. Whether it restores anything is for the sale to decide.
    #[must_use]
    pub fn read_place_ticket(&self, ticket: &str, event: EventId, buyer: BuyerId) -> Option<(Ordinal, u64)> {
        let mut bytes = [0; PLACE_TICKET];
        let read = URL_SAFE_NO_PAD.decode_slice(ticket.strip_prefix("pt_")?, &mut bytes).ok()?;
        if read != PLACE_TICKET {
            return None;
        }
        let mac_bytes = short_mac(&self.place, &[event.0.as_bytes(), buyer.0.as_bytes(), &bytes[..16]]);
        if !bool::from(mac_bytes.ct_eq(&bytes[16..])) {
            return None;
        }
        let ordinal = u64::from_be_bytes(bytes[..8].try_into().ok()?);
        Some((Ordinal(ordinal), u64::from_be_bytes(bytes[8..16].try_into().ok()?)))
    }

    /// The seed of an event's draw. It cannot be guessed without the secret, and is the same at every call, such as after a crash
    /// between an event and its sale.
    #[must_use]
    pub fn draw_seed(&self, event: EventId) -> DrawSeed {
        DrawSeed(mac(&self.draw, &[event.0.as_bytes()]))
    }

    /// 128 bits over the parts of a request, each with its length before it: the stored form of idempotency keys.
    /// Keyed, so that a body (which may hold a password) cannot be guessed from the storage by hashing.
    #[must_use]
    pub fn request_digest(&self, parts: &[&[u8]]) -> u128 {
        u128::from_be_bytes(digest(&self.request, parts))
    }

    /// 128 bits over what concerns accounts, for one purpose. Keyed, so that an address cannot be found by trying all
    /// from a storage or a log.
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

    /// The hash of a client's address that an account has logged in from; different for every account.
    #[must_use]
    pub fn client_hash(&self, account: BuyerId, client: Who) -> [u8; 16] {
        self.account_digest("client", &[account.0.as_bytes(), &client.to_be_bytes()])
    }

    /// A client's address for the log: the same at every call.
    #[must_use]
    pub fn client_name(&self, client: Who) -> String {
        let hash = u128::from_be_bytes(self.account_digest("log", &[&client.to_be_bytes()]));
        format!("{:016x}", hash >> 64)
    }

    /// The key that a payment is confirmed with: `pk_…`.
    #[must_use]
    pub fn payment_key(&self, payment: PaymentId, buyer: BuyerId) -> String {
        let mac_bytes = short_mac(&self.payment, &[payment.0.as_bytes(), buyer.0.as_bytes()]);
        format!("pk_{}", URL_SAFE_NO_PAD.encode(mac_bytes))
    }

    /// Whether a payment key is that of this payment and buyer.
    #[must_use]
    pub fn fits_payment_key(&self, key: &str, payment: PaymentId, buyer: BuyerId) -> bool {
        self.payment_key(payment, buyer).as_bytes().ct_eq(key.as_bytes()).into()
    }

    /// The content of a ticket's QR code: `onsale1.<reservation>.<serial>.<mac>`. It can be checked offline with the secret.
    #[must_use]
    pub fn qr_data(&self, event: EventId, reservation: ReservationId, serial: TicketSerial) -> String {
        let mac_bytes =
            short_mac(&self.ticket, &[event.0.as_bytes(), reservation.0.as_bytes(), &serial.0.to_be_bytes()]);
        format!("onsale1.{reservation}.{}.{}", serial.0, URL_SAFE_NO_PAD.encode(mac_bytes))
    }

    /// Whether `data` is [`TokenSigner::qr_data`] of this ticket.
    #[must_use]
    pub fn fits_qr_data(&self, data: &str, event: EventId, reservation: ReservationId, serial: TicketSerial) -> bool {
        self.qr_data(event, reservation, serial).as_bytes().ct_eq(data.as_bytes()).into()
    }
}

/// The first 128 bits of a MAC over parts, each with its length before it, so that they cannot run into each other.
fn digest(key: &Key, parts: &[&[u8]]) -> [u8; 16] {
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

/// A MAC keyed by HMAC(secret, label), for MACs of another form.
#[must_use]
pub fn derived_key(secret: &[u8], label: &str) -> Hmac<Sha256> {
    derived(secret, label)
}

/// A MAC keyed by HMAC(secret, label).
fn derived(secret: &[u8], label: &str) -> Key {
    let key = mac(&keyed(secret), &[label.as_bytes()]);
    keyed(&key)
}

/// HMAC takes a key of any length; the fall-back is unreachable, an empty key.
fn keyed(key: &[u8]) -> Key {
    Key::new_from_slice(key).unwrap_or_else(|_| Key::new(&Default::default()))
}

fn mac(key: &Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = key.clone();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// A token's text: its kind as a prefix, and its bytes.
fn prefixed(prefix: &str, bytes: [u8; 8 + 8 + MAC]) -> String {
    let mut encoded = [0; (8 + 8 + MAC) * 2];
    let length = URL_SAFE_NO_PAD.encode_slice(bytes, &mut encoded).unwrap_or(0);
    let encoded = std::str::from_utf8(&encoded[..length]).unwrap_or_default();
    let mut token = String::with_capacity(prefix.len() + encoded.len());
    token.push_str(prefix);
    token.push_str(encoded);
    token
}

/// Every part has a fixed length, so parts cannot run into each other.
fn short_mac(key: &Key, parts: &[&[u8]]) -> [u8; MAC] {
    let mut mac_bytes = [0; MAC];
    mac_bytes.copy_from_slice(&mac(key, parts)[..MAC]);
    mac_bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn signer() -> TokenSigner {
        TokenSigner::new(b"an example secret of 32 bytes or more")
    }

    #[test]
    fn a_queue_token_is_good_for_its_event_and_buyer_alone() {
        let (event, buyer) = (EventId(Uuid::from_u128(1)), BuyerId(Uuid::from_u128(2)));
        let token = signer().queue_token(event, buyer, Slot(9), Timestamp(77));
        assert_eq!(signer().read_queue_token(&token, event, buyer), Some((Slot(9), Timestamp(77))));
        assert_eq!(token, signer().queue_token(event, buyer, Slot(9), Timestamp(77)));
        assert_eq!(signer().read_queue_token(&token, EventId(Uuid::from_u128(3)), buyer), None);
        assert_eq!(signer().read_queue_token(&token, event, BuyerId(Uuid::from_u128(3))), None);
        let other = TokenSigner::new(b"another example secret of 32 bytes..");
        assert_eq!(other.read_queue_token(&token, event, buyer), None);
    }

    #[test]
    fn no_bit_of_a_queue_token_can_be_changed() {
        let (event, buyer) = (EventId(Uuid::from_u128(1)), BuyerId(Uuid::from_u128(2)));
        let token = signer().queue_token(event, buyer, Slot(9), Timestamp(77));
        let bytes = URL_SAFE_NO_PAD.decode(&token[3..]).unwrap_or_default();
        assert_eq!(bytes.len(), QUEUE_TOKEN);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let forged = format!("qr_{}", URL_SAFE_NO_PAD.encode(changed));
            assert_eq!(signer().read_queue_token(&forged, event, buyer), None);
        }
        for junk in ["", "qr_", "qr_AAAA", &token[3..], &format!("{token}AAAA")] {
            assert_eq!(signer().read_queue_token(junk, event, buyer), None);
        }
    }

    #[test]
    fn parts_of_a_request_do_not_run_into_each_other() {
        let signer = signer();
        assert_ne!(signer.request_digest(&[b"ab", b"c"]), signer.request_digest(&[b"a", b"bc"]));
        assert_eq!(signer.request_digest(&[b"ab", b"c"]), signer.request_digest(&[b"ab", b"c"]));
    }

    #[test]
    fn an_address_is_another_one_for_every_purpose_and_account() {
        let signer = signer();
        let [one, other] = [1, 2].map(|number| BuyerId(Uuid::from_u128(number)));
        assert_eq!(signer.client_hash(one, 7), signer.client_hash(one, 7));
        assert_ne!(signer.client_hash(one, 7), signer.client_hash(other, 7));
        assert_ne!(signer.client_hash(one, 7), signer.client_hash(one, 8));
        assert_ne!(signer.account_digest("email", &[b"a"]), signer.account_digest("emaila", &[]));
        assert_eq!(signer.client_name(7).len(), 16);
        let another = TokenSigner::new(b"another example secret of 32 bytes..");
        assert_ne!(signer.email_hash("a@example.org"), another.email_hash("a@example.org"));
    }

    #[test]
    fn a_places_ticket_names_its_event_buyer_ordinal_and_line() {
        let (event, buyer) = (EventId(Uuid::from_u128(1)), BuyerId(Uuid::from_u128(2)));
        let ticket = signer().place_ticket(event, buyer, Ordinal(9), 0);
        assert!(ticket.starts_with("pt_"));
        assert_eq!(ticket, signer().place_ticket(event, buyer, Ordinal(9), 0));
        let others = [
            signer().place_ticket(EventId(Uuid::from_u128(3)), buyer, Ordinal(9), 0),
            signer().place_ticket(event, BuyerId(Uuid::from_u128(3)), Ordinal(9), 0),
            signer().place_ticket(event, buyer, Ordinal(8), 0),
            signer().place_ticket(event, buyer, Ordinal(9), 1),
        ];
        assert!(!others.contains(&ticket));
        assert_eq!(signer().read_place_ticket(&ticket, event, buyer), Some((Ordinal(9), 0)));
        for other in &others[..2] {
            assert_eq!(signer().read_place_ticket(other, event, buyer), None, "a foreign one");
        }
        let another = TokenSigner::new(b"another example secret of 32 bytes..");
        assert_eq!(another.read_place_ticket(&ticket, event, buyer), None);
        let bytes = URL_SAFE_NO_PAD.decode(&ticket[3..]).unwrap_or_default();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let forged = format!("pt_{}", URL_SAFE_NO_PAD.encode(changed));
            assert_eq!(signer().read_place_ticket(&forged, event, buyer), None, "bit {bit}");
        }
        let token = signer().queue_token(event, buyer, Slot(9), Timestamp(0));
        for junk in ["", "pt_", "pt_AAAA", &ticket[3..], &format!("{ticket}AAAA"), &token.replace("qr_", "pt_")] {
            assert_eq!(signer().read_place_ticket(junk, event, buyer), None);
        }
    }

    #[test]
    fn payment_keys_and_tickets_fit_only_themselves() {
        let (payment, buyer) = (PaymentId(Uuid::from_u128(4)), BuyerId(Uuid::from_u128(2)));
        let key = signer().payment_key(payment, buyer);
        assert!(key.starts_with("pk_") && signer().fits_payment_key(&key, payment, buyer));
        assert!(!signer().fits_payment_key(&key, PaymentId(Uuid::from_u128(5)), buyer));
        let (event, reservation) = (EventId(Uuid::from_u128(1)), ReservationId(Uuid::from_u128(6)));
        let data = signer().qr_data(event, reservation, TicketSerial(3));
        assert!(signer().fits_qr_data(&data, event, reservation, TicketSerial(3)));
        assert!(!signer().fits_qr_data(&data, event, reservation, TicketSerial(4)));
    }
}
