//! The currencies that are in use: ISO 4217, list one of its maintenance agency (SIX), published on 2026-01-01, those that have
//! a minor unit and are no fund. Left out are funds codes (such as `CHE`), metals and units of account without a minor unit
//! (`XAU`, `XDR`), `XTS` and `XXX`, and everything of list three, which is historic (`DEM`, and `BGN` since 2026). Must never be
//! asked whether a stored code is readable: what was once accepted stays.

/// Codes by how many digits their minor unit has.
const CODES: [(u8, &str); 4] = [
    (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"),
    (
        2,
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC \
         CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR \
         JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD \
         NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN \
         SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG",
    ),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "UYW"),
];

/// How many digits the minor unit of a currency has; `None` for a code that no currency in use has.
pub(crate) fn minor_digits(code: &str) -> Option<u8> {
    let has = |codes: &str| codes.split(' ').any(|known| known == code);
    CODES.iter().find(|(_, codes)| has(codes)).map(|&(digits, _)| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_three_letters_and_stands_once() {
        let mut codes: Vec<&str> = CODES.iter().flat_map(|(_, codes)| codes.split(' ')).collect();
        assert!(codes.iter().all(|code| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase())));
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!((codes.len(), count), (157, 157));
    }
}
