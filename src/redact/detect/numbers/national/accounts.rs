//! National forms of bank accounts with check digits, as they were written before IBAN and still are in orders and messages.

use super::checks::Number;
use super::{IdFormat, id};

pub(super) const FORMATS: &[IdFormat] = &[
    id("AR", &["9999999999999999999999"], &[], &["cbu", "cvu"], is_argentine).of_kind("bank_account"),
    // Bank, account, remainder by 97. Numbers of identity cards have the same form.
    id("BE", &["999-9999999-99"], &["999999999999"], &["rekening", "compte", "konto", "account", "eid"], |n| {
        let remainder = n.number(0, 10) % 97;
        n.number(10, 2) == if remainder == 0 { 97 } else { remainder }
    })
    .of_kind("bank_account"),
    // Bank, branch, account, key. Letters stand for the digits 1 to 9 in alphabetical order, S begins with 2.
    id("FR", &["99999 99999 XXXXXXXXXXX 99"], &["9999999999XXXXXXXXXXX99"], &["rib", "compte"], |n| {
        let digit = |index: usize| match n.digit(index) {
            letter @ 10..=27 => (letter - 10) % 9 + 1,
            letter @ 28.. => (letter - 28) % 9 + 2,
            digit => digit,
        };
        remainder_97((0..23).map(digit)) == 0 && n.number(0, 5) > 0
    })
    .of_kind("bank_account"),
    // Bank and branch with a check digit, account with another one.
    id(
        "HU",
        &["99999999-99999999-99999999", "99999999-99999999", "99999999 99999999 99999999"],
        &["999999999999999999999999", "9999999999999999"],
        &["számla", "szamla", "account"],
        |n| {
            let blocks = [(0, 8), (8, n.len() - 8)];
            let is_block = |from: usize, count: usize| {
                let sum: u32 = (from..from + count).zip([9, 7, 3, 1].into_iter().cycle()).map(|(at, weight)| n.digit(at) * weight).sum();
                sum.is_multiple_of(10)
            };
            blocks.into_iter().all(|(from, count)| is_block(from, count)) && n.is_one_of(0, "1235678")
        },
    )
    .of_kind("bank_account"),
    // Two check digits, bank and branch, account: an IBAN without its country.
    id(
        "PL",
        &["99 9999 9999 9999 9999 9999 9999", "99-9999-9999-9999-9999-9999-9999"],
        &["99999999999999999999999999"],
        &["konto", "konta", "rachun", "nrb", "account"],
        |n| remainder_97((2..26).map(|index| n.digit(index)).chain([2, 5, 2, 1, n.digit(0), n.digit(1)])) == 1,
    )
    .of_kind("bank_account"),
    id("PT", &["9999 9999 99999999999 99", "9999.9999.99999999999.99"], &["999999999999999999999"], &["nib", "conta"], |n| {
        remainder_97((0..21).map(|index| n.digit(index))) == 1
    })
    .of_kind("bank_account"),
    // Bank, account, remainder: the former payment system of Yugoslavia.
    id("RS", &["999-9999999999999-99"], &["999999999999999999"], &["račun", "racun", "рачун", "account"], |n| {
        remainder_97((0..18).map(|index| n.digit(index))) == 1
    })
    .of_kind("bank_account"),
    id("SI", &[], &["99999-9999999999", "999999999999999"], &["račun", "racun", "trr", "account"], |n| {
        remainder_97((0..15).map(|index| n.digit(index))) == 1
    })
    .of_kind("bank_account"),
];

/// Two blocks with a check digit each.
fn is_argentine(n: &Number) -> bool {
    (10 - n.sum(&[7, 1, 3, 9, 7, 1, 3]) % 10) % 10 == n.digit(7)
        && (10 - n.sum_from(8, &[3, 9, 7, 1, 3, 9, 7, 1, 3, 9, 7, 1, 3]) % 10) % 10 == n.digit(21)
}

/// The remainder of a long number by 97.
fn remainder_97(digits: impl Iterator<Item = u32>) -> u32 {
    digits.fold(0, |remainder, digit| (remainder * 10 + digit) % 97)
}
