//! Numbers of countries of the Americas.

use super::checks::{Number, luhn};
use super::{IdFormat, id, unchecked};

pub(super) const FORMATS: &[IdFormat] = &[
    // Social security number, except for ranges that are never issued. Taxpayer numbers (9…) are included.
    id("US", &["999-99-9999"], &["999 99 9999", "999999999", "999.99.9999"], &["ssn", "itin", "atin"], |n| {
        !n.starts_with_any(&["000", "666"]) && n.number(3, 2) != 0 && n.number(5, 4) != 0
    })
    .of_kind("ssn"),
    // Medicare beneficiary identifier: letters without S, L, O, I, B and Z.
    id("US", &["9AX9-AX9-AA99", "9AX9AX9AA99", "9AX9 AX9 AA99"], &[], &["mbi"], |n| {
        n.at(0) != b'0' && !n.characters().iter().any(|character| b"SLOIBZ".contains(character))
    })
    .of_kind("medical_id"),
    // National provider identifier: Luhn with 80840 in front.
    id("US", &[], &["9999999999"], &["npi", "provider"], |n| {
        n.is_one_of(0, "12") && luhn((0..10).rev().map(|index| n.digit(index)).chain([0, 4, 8, 0, 8]))
    })
    .of_kind("medical_id"),
    id("US", &[], &["AA9999999"], &["dea"], |n| {
        let (odd, even) = (n.digit(2) + n.digit(4) + n.digit(6), n.digit(3) + n.digit(5) + n.digit(7));
        (odd + 2 * even) % 10 == n.digit(8)
    })
    .of_kind("medical_id"),
    unchecked("US", &[], &["A99999999"], &["ptin", "a number", "alien", "uscis"], |_| true),
    id("CA", &["999-999-999"], &["999 999 999", "999999999"], &["sin", "nas"], |n| n.at(0) != b'0' && n.luhn()),
    // Health numbers of Ontario, British Columbia and Quebec.
    id(
        "CA",
        &["9999-999-999-AA", "9999 999 999 AA"],
        &["9999-999-999", "9999 999 999", "9999999999", "9999999999AA"],
        &["ohip", "hcn"],
        |n| n.luhn_of(0, 10),
    )
    .of_kind("medical_id"),
    id("CA", &["9999 999 999"], &["9999999999", "9999-999-999"], &["phn", "msp"], |n| {
        let sum: u32 = (1..9).zip([2, 4, 8, 5, 10, 9, 7, 3]).map(|(index, weight)| weight * n.digit(index) % 11).sum();
        n.at(0) == b'9' && (11 - sum % 11) % 11 == n.digit(9)
    })
    .of_kind("medical_id"),
    unchecked("CA", &["AAAA 9999 9999", "AAAA-9999-9999"], &["AAAA99999999"], &["ramq", "nam"], |n| n.ymd(4, &[0, 50], &[0]))
        .of_kind("medical_id"),
    // Population number: name, date of birth, sex, state, consonants, a character for the century, check digit. Ñ follows N in the alphabet.
    id("MX", &["AAAA999999AAAAAAX9"], &[], &["curp"], |n| {
        let value = |index: usize| n.digit(index) + u32::from(n.at(index) > b'N');
        let sum: u32 = (0..17u32).zip(0..).map(|(weight, index)| (18 - weight) * value(index)).sum();
        n.is_one_of(10, "HMX") && n.ymd(4, &[0], &[0]) && (10 - sum % 10) % 10 == n.digit(17)
    }),
    // Tax number of a person: name, date of birth, two characters and a check character.
    id("MX", &["AAAA999999XXX"], &[], &["rfc"], |n| {
        let value = |index: usize| n.digit(index) + u32::from(n.at(index) > b'N');
        let sum: u32 = (0..12u32).zip(0..).map(|(weight, index)| (13 - weight) * value(index)).sum();
        let check = match (11 - sum % 11) % 11 {
            10 => b'A',
            digit => b"0123456789".get(usize::try_from(digit).unwrap_or(0)).copied().unwrap_or(0),
        };
        n.ymd(4, &[0], &[0]) && n.at(12) == check
    }),
    unchecked("MX", &["AAAA-999999-XXX", "AAAA 999999 XXX"], &["AAAA999999XXX", "AAAA999999"], &["rfc"], |n| n.ymd(4, &[0], &[0])),
    id("MX", &["99-99-99-9999-9", "99 99 99 9999 9"], &["99999999999"], &["nss", "imss"], Number::luhn),
    // Key of an elector: consonants of the name, date of birth, state, sex, serial number.
    id("MX", &["AAAAAA99999999A999"], &[], &["elector"], |n| n.is_one_of(14, "HM") && n.ymd(6, &[0], &[0]) && n.in_range(12, 2, 1..=88)),
    // Bank account: bank, place, account, check digit.
    id("MX", &[], &["999999999999999999", "999 999 99999999999 9"], &["clabe", "cuenta", "account"], |n| {
        let sum: u32 = (0..17).zip([3, 7, 1].into_iter().cycle()).map(|(index, weight)| n.digit(index) * weight % 10).sum();
        (10 - sum % 10) % 10 == n.digit(17)
    })
    .of_kind("bank_account"),
    // Tax number; 20 to 27 are persons.
    id("AR", &["99-99999999-9", "99 99999999 9"], &["99999999999", "99.99999999.9"], &["cuit", "cuil"], |n| {
        let check = n.complement(&[5, 4, 3, 2, 7, 6, 5, 4, 3, 2], 11);
        n.in_range(0, 2, 20..=27) && (if check == 10 { 9 } else { check }) == n.digit(10)
    }),
    unchecked("AR", &[], &["99.999.999", "9.999.999", "99999999"], &["dni"], |_| true),
    // Bank account: two blocks with a check digit each.
    id("AR", &["99999999 99999999999999"], &[], &["cbu", "cvu"], |n| {
        (10 - n.sum(&[7, 1, 3, 9, 7, 1, 3]) % 10) % 10 == n.digit(7)
            && (10 - n.sum_from(8, &[3, 9, 7, 1, 3, 9, 7, 1, 3, 9, 7, 1, 3]) % 10) % 10 == n.digit(21)
    })
    .of_kind("bank_account"),
    // Tax and identity number of Chile, and the identity card of São Paulo, which is written alike.
    id(
        "CL",
        &["99.999.999-X", "9.999.999-X"],
        &["99999999-X", "9999999-X", "99999999X", "9999999X", "99 999 999-X"],
        &["rut", "run", "rol", "rg"],
        |n| is_chilean(n) || is_sao_paulo(n),
    ),
    id("CL", &["99999999-K", "9999999-K"], &[], &["rut", "run"], is_chilean),
    // Identity card without a check digit, and tax number.
    unchecked("CO", &[], &["9.999.999.999", "99.999.999", "9999999999", "99999999"], &["c c", "nuip"], |_| true),
    id("CO", &["999.999.999-9", "9.999.999.999-9"], &["999999999-9", "9999999999-9"], &["nit", "rut"], |n| {
        let weights = [3, 7, 13, 17, 19, 23, 29, 37, 41, 43];
        let sum: u32 = (0..n.len() - 1).rev().zip(weights).map(|(index, weight)| n.digit(index) * weight).sum();
        let check = (11 - sum % 11) % 11;
        (if check == 10 { 1 } else { check }) == n.last()
    }),
    unchecked("CR", &[], &["9-9999-9999", "999999999", "99-9999-9999"], &["ced"], |n| n.at(0) != b'0'),
    // Date of birth, century and sex, serial number.
    unchecked("CU", &[], &["99999999999"], &["carné", "carne"], |n| n.ymd(0, &[0], &[0])),
    id("DO", &["999-9999999-9"], &["99999999999"], &["ced"], Number::luhn),
    // Province, type, serial number.
    id("EC", &["999999999-9"], &["9999999999"], &["ced", "ci"], is_ecuadorian),
    id("EC", &[], &["9999999999999"], &["ruc"], |n| is_ecuadorian(n) && n.number(10, 3) == 1),
    // Serial number with check digit, department and municipality.
    id("GT", &["9999 99999 9999", "9999-99999-9999"], &["9999999999999"], &["cui", "dpi"], |n| {
        n.sum(&[2, 3, 4, 5, 6, 7, 8, 9]) % 11 == n.digit(8) && n.in_range(9, 2, 1..=22) && n.in_range(11, 2, 1..=40)
    }),
    id("GT", &[], &["9999999-X", "99999999-X", "999999-X", "9999999X", "99999999X"], &["nit"], |n| {
        let sum: u32 = (0..n.len() - 1).rev().zip(2..).map(|(index, weight)| n.digit(index) * weight).sum();
        let check = (11 - sum % 11) % 11;
        if check == 10 { n.at(n.len() - 1) == b'K' } else { check == n.last() }
    }),
    // Department, municipality, year of birth or registration.
    unchecked("HN", &["9999-9999-99999"], &["9999999999999"], &["dni", "rtn"], |n| {
        n.in_range(0, 2, 1..=18) && n.in_range(4, 4, 1900..=2039)
    }),
    // Municipality, date of birth, serial number, letter.
    id("NI", &["999-999999-9999A"], &["9999999999999A"], &["ced"], |n| n.dmy(3, &[0], &[0])),
    // Province, volume, entry.
    unchecked(
        "PA",
        &[],
        &["9-999-9999", "9-999-999", "9-999-99999", "99-999-9999", "A-99-9999", "AA-999-9999"],
        &["cédula", "cedula"],
        |_| true,
    ),
    // Identity number with the check digit or letter of the card.
    unchecked("PE", &[], &["99999999-X", "99999999"], &["dni", "cui"], |n| {
        let check = usize::try_from(n.sum(&[3, 2, 7, 6, 5, 4, 3, 2]) % 11).unwrap_or(0);
        n.len() == 8 || b"65432110987".get(check) == Some(&n.at(8)) || b"KJIHGFEDCBA".get(check) == Some(&n.at(8))
    }),
    id("PE", &[], &["99999999999"], &["ruc"], |n| {
        n.starts_with_any(&["10", "15", "17"]) && (11 - n.sum(&[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 10 == n.digit(10)
    }),
    unchecked("PY", &[], &["9999999-9", "999999-9", "9999999", "9.999.999"], &["ruc", "c i", "ci"], |n| {
        let sum: u32 = (0..n.len() - 1).rev().zip(2..).map(|(index, weight)| n.digit(index) * weight).sum();
        n.len() == 7 || (11 - sum % 11) % 11 % 10 == n.last()
    }),
    // Identity document and tax number (municipality, date of birth, serial number) of El Salvador.
    id("SV", &[], &["99999999-9", "999999999"], &["dui"], |n| (10 - n.sum(&[9, 8, 7, 6, 5, 4, 3, 2]) % 10) % 10 == n.digit(8)),
    id("SV", &["9999-999999-999-9"], &["99999999999999"], &["nit"], |n| n.is_one_of(0, "019") && n.dmy(4, &[0], &[0])),
    id("UY", &["9.999.999-9"], &["9999999-9", "99999999"], &["ci", "c i"], |n| n.complement(&[2, 9, 8, 7, 6, 3, 4], 10) == n.digit(7)),
    // Identity number, and tax number with a check digit.
    id("VE", &["A-99.999.999", "A-9.999.999"], &["A-99999999", "A-9999999", "A99999999", "A 99999999"], &["c i", "ci", "ced"], |n| {
        n.is_one_of(0, "VE")
    }),
    id("VE", &["A-99999999-9"], &["A999999999", "A-999999999"], &["rif"], |n| {
        let first = if n.at(0) == b'V' { 4 } else { 8 };
        let check = 11 - (first + n.sum_from(1, &[3, 2, 7, 6, 5, 4, 3, 2])) % 11;
        n.is_one_of(0, "VE") && (if check > 9 { 0 } else { check }) == n.digit(9)
    }),
    // Tax number of a person, with two check digits.
    id("BR", &["999.999.999-99", "999999999-99", "99999999999", "999 999 999 99", "999.999.99999"], &[], &["cpf"], |n| {
        is_brazilian(n.sum(&[10, 9, 8, 7, 6, 5, 4, 3, 2]), n.digit(9))
            && is_brazilian(n.sum(&[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]), n.digit(10))
    }),
    // Social programmes, driving licence, voter, health card.
    id("BR", &["999.99999.99-9"], &["99999999999", "999.99999.999"], &["pis", "pasep", "nit", "nis"], |n| {
        is_brazilian(n.sum(&[3, 2, 9, 8, 7, 6, 5, 4, 3, 2]), n.digit(10))
    }),
    id("BR", &[], &["99999999999"], &["cnh", "habilita"], |n| {
        let first = n.sum(&[9, 8, 7, 6, 5, 4, 3, 2, 1]) % 11;
        let second = n.sum(&[1, 2, 3, 4, 5, 6, 7, 8, 9]) % 11;
        let second = if first > 9 { (second + 9) % 11 } else { second };
        (if first > 9 { 0 } else { first }) == n.digit(9) && (if second > 9 { 0 } else { second }) == n.digit(10)
    })
    .of_kind("drivers_license"),
    unchecked("BR", &[], &["999999999999", "9999 9999 9999"], &["título", "titulo", "eleitor"], |n| n.in_range(8, 2, 1..=28)),
    id("BR", &["999 9999 9999 9999"], &["999999999999999"], &["cns", "sus", "cartão nacional"], |n| {
        n.is_one_of(0, "12789") && n.sum(&[15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
    })
    .of_kind("medical_id"),
];

/// The check digit of Chile: weights from 2 to 7 from the right, K for 10.
fn is_chilean(n: &Number) -> bool {
    let sum: u32 = (0..n.len() - 1).rev().zip([2, 3, 4, 5, 6, 7].into_iter().cycle()).map(|(index, weight)| n.digit(index) * weight).sum();
    match (11 - sum % 11) % 11 {
        10 => n.at(n.len() - 1) == b'K',
        check => n.at(n.len() - 1).is_ascii_digit() && n.last() == check,
    }
}

/// The check digit of identity cards of São Paulo: weights from 2 to 9 from the left, X for 10.
fn is_sao_paulo(n: &Number) -> bool {
    let check = (11 - n.sum(&[2, 3, 4, 5, 6, 7, 8, 9]) % 11) % 11;
    n.len() == 9 && if check == 10 { n.at(8) == b'X' } else { n.at(8).is_ascii_digit() && n.digit(8) == check }
}

fn is_ecuadorian(n: &Number) -> bool {
    (n.in_range(0, 2, 1..=24) || n.in_range(0, 2, 30..=30) || n.in_range(0, 2, 50..=50)) && n.digit(2) < 7 && n.luhn_of(0, 10)
}

/// The check digit of Brazil: 11 minus the remainder, 0 instead of 10 and 11.
fn is_brazilian(sum: u32, check: u32) -> bool {
    (if sum % 11 < 2 { 0 } else { 11 - sum % 11 }) == check
}
