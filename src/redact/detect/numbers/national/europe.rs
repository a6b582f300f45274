//! Numbers of European countries.

use super::checks::Number;
use super::{IdFormat, id, unchecked};

pub(super) const FORMATS: &[IdFormat] = &[
    // Social insurance number: the fourth digit is the check digit, the last six are the date of birth.
    id("AT", &["9999 999999", "9999-999999"], &["9999999999"], &["svnr", "vsnr", "e card"], |n| {
        n.at(0) != b'0' && n.dmy(4, &[0, 12], &[0]) && n.sum(&[3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) % 11 == n.digit(3)
    }),
    // National number and BIS number (month + 20 or + 40).
    id(
        "BE",
        &["99.99.99-999.99", "99.99.99-999-99", "999999-999-99", "99 99 99 999 99", "999999 999 99", "99999999999"],
        &[],
        &["rijksregister", "registre national", "insz", "niss"],
        |n| {
            let (body, check) = (n.number(0, 9), n.number(9, 2));
            n.ymd(0, &[0, 20, 40], &[0]) && (97 - body % 97 == check || 97 - (2_000_000_000 + body) % 97 == check)
        },
    ),
    // EGN: month + 40 from 2000.
    id("BG", &["9999999999"], &[], &["egn", "егн"], |n| {
        n.ymd(0, &[0, 40], &[0]) && n.sum(&[2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10 == n.digit(9)
    }),
    // Number of a foreigner.
    id("BG", &[], &["9999999999"], &["lnch", "лнч", "pnf"], |n| n.sum(&[21, 19, 17, 13, 11, 9, 7, 3, 1]) % 10 == n.digit(9)),
    id("BY", &["9999999A999AA9"], &[], &[], |n| {
        n.dmy(1, &[0], &[0]) && n.sum(&[7, 3, 1, 7, 3, 1, 7, 3, 1, 7, 3, 1, 7]) % 10 == n.digit(13)
    }),
    id("CH", &["756.9999.9999.99", "756-9999-9999-99", "756 9999 9999 99", "7569999999999"], &[], &["ahv", "avs"], Number::ean_13),
    // Birth numbers of the Czech Republic and Slovakia: month + 50 for women, + 20 if the numbers of a day were used up. Without a check digit
    // until 1953.
    id("CZ", &["999999/9999"], &["9999999999", "999999 9999", "999999-9999"], &["rodn", "birth no"], |n| {
        let (body, check) = (n.number(0, 9), n.number(9, 1));
        n.ymd(0, &[0, 50, 20, 70], &[0]) && body % 11 % 10 == check
    }),
    unchecked("CZ", &["999999/999"], &["999999999"], &["rodn", "birth no"], |n| {
        n.is_past(0, 1900) && n.in_range(0, 2, 0..=53) && n.ymd(0, &[0, 50], &[0])
    }),
    // Tax identification number: one digit occurs twice or three times in the first ten, all others at most once.
    id("DE", &["99 999 999 999", "99999999999"], &[], &["idnr", "steuerid"], |n| {
        let count = |digit: u8| n.characters().iter().take(10).filter(|character| **character == digit).count();
        let repeated: Vec<usize> = (b'0'..=b'9').map(count).filter(|count| *count > 1).collect();
        n.at(0) != b'0' && matches!(repeated.as_slice(), [2 | 3]) && n.mod_11_10()
    }),
    // Pension insurance number: area, date of birth, first letter of the name at birth, serial number.
    id("DE", &["99 999999 A 999", "99 999999 A999", "99999999A999", "99-999999-A-999"], &[], &["rentenversicherung"], |n| {
        let letter = n.digit(8) - 9;
        let digits =
            [0, 1, 2, 3, 4, 5, 6, 7].map(|index| n.digit(index)).into_iter().chain([letter / 10, letter % 10, n.digit(9), n.digit(10)]);
        let sum: u32 =
            digits.zip([2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1]).map(|(digit, weight)| digit * weight / 10 + digit * weight % 10).sum();
        n.at(8) >= b'A' && n.dmy(2, &[0], &[0, 50]) && sum % 10 == n.digit(11)
    }),
    // Tax number of a region.
    unchecked("DE", &[], &["99/999/99999", "999/999/99999", "999/9999/9999", "99 999 99999"], &["stnr", "st nr"], |_| true),
    // Number of an insured person.
    id("DE", &[], &["A999999999"], &["kvnr", "krankenvers", "versicherten"], |n| {
        let letter = n.digit(0) - 9;
        let digits = [letter / 10, letter % 10].into_iter().chain((1..9).map(|index| n.digit(index)));
        let sum: u32 = digits.zip([1, 2].into_iter().cycle()).map(|(digit, weight)| digit * weight / 10 + digit * weight % 10).sum();
        sum % 10 == n.digit(9)
    })
    .of_kind("medical_id"),
    // CPR number. Numbers without a valid check digit exist since 2007.
    id("DK", &["999999-9999"], &["9999999999", "999999 9999"], &["cpr"], |n| {
        n.dmy(0, &[0], &[0, 60]) && n.sum(&[4, 3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
    }),
    unchecked("DK", &[], &["999999-9999", "9999999999", "999999 9999"], &["cpr", "personnummer"], |n| n.dmy(0, &[0], &[0, 60])),
    // Personal codes of Estonia and Lithuania: century and sex, date of birth, serial number.
    id("EE", &["99999999999"], &[], &["ik"], |n| {
        let year = 1800 + (n.digit(0).saturating_sub(1)) / 2 * 100;
        let first = n.sum(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11;
        let check = if first == 10 { n.sum(&[3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11 % 10 } else { first };
        n.is_one_of(0, "3456") && n.is_past(1, year) && n.ymd(1, &[0], &[0]) && check == n.last()
    }),
    // DNI, and the numbers that start with a letter of foreigners, minors and residents abroad.
    id("ES", &["99999999A", "99999999-A", "99.999.999-A", "99.999.999A", "99999999 A"], &[], &["dni", "nif"], |n| {
        is_spanish_letter(n.number(0, 8), n.at(8))
    }),
    id("ES", &["A9999999A", "A-9999999-A", "A-9999999A", "A9999999-A", "A 9999999 A"], &[], &["nie", "nif"], |n| {
        let first = match n.at(0) {
            b'Y' => 1,
            b'Z' => 2,
            _ => 0,
        };
        n.is_one_of(0, "XYZKLM") && is_spanish_letter(first * 10_000_000 + n.number(1, 7), n.at(8))
    }),
    // Social security number: province, serial number, remainder by 97.
    id("ES", &["99/99999999/99", "99 99999999 99", "99/9999999999", "99 9999999999"], &["999999999999"], &["nuss", "naf"], |n| {
        let serial = n.number(2, 8);
        let joined = if serial < 10_000_000 { n.number(0, 2) * 10_000_000 + serial } else { n.number(0, 10) };
        n.in_range(0, 2, 1..=66) && joined % 97 == n.number(10, 2)
    }),
    // Bank account: bank and branch, two check digits, account.
    id(
        "ES",
        &[
            "9999 9999 99 9999999999",
            "9999 9999 99 99999 99999",
            "9999-9999-99-9999999999",
            "9999-9999-99 9999999999",
            "9999 9999 9999 9999 9999",
        ],
        &["99999999999999999999"],
        &["ccc", "cuenta", "account", "konto"],
        |n| {
            let check = |sum: u32| match 11 - sum % 11 {
                11 => 0,
                10 => 1,
                digit => digit,
            };
            check(n.sum(&[4, 8, 5, 10, 9, 7, 3, 6])) == n.digit(8) && check(n.sum_from(10, &[1, 2, 4, 8, 5, 10, 9, 7, 3, 6])) == n.digit(9)
        },
    )
    .of_kind("bank_account"),
    // Personal identity code. The century is a sign, or a letter, so both forms of it are written here.
    id("FI", &["999999-999X", "999999+999X"], &[], &["hetu"], |n| n.dmy(0, &[0], &[0]) && is_finnish_check(n, 6)),
    id("FI", &["999999A999X"], &[], &["hetu"], |n| n.dmy(0, &[0], &[0]) && n.is_one_of(6, "ABCDEFYXWVU") && is_finnish_check(n, 7)),
    unchecked("FO", &[], &["999999-999"], &["p tal", "ptal"], |n| n.dmy(0, &[0], &[0])),
    // Registration number of a person (NIR): sex, year, month, department (2A and 2B on Corsica), municipality, serial number, check.
    id(
        "FR",
        &["9 99 99 99 999 999 99", "9999999999999 99", "999999999999999", "9 99 99 9A 999 999 99", "999999A99999999", "999999A999999 99"],
        &["9 99 99 99 999 999", "9999999999999"],
        &["nir", "insee", "sécu", "secu", "vitale"],
        |n| {
            let corsica = match n.at(6) {
                b'A' => 1_000_000,
                b'B' => 2_000_000,
                _ => 0,
            };
            let body: u64 =
                (0..13).fold(0, |body, index| body * 10 + if index == 6 && corsica > 0 { 0 } else { u64::from(n.digit(index)) });
            let is_month = matches!(n.number(3, 2), 1..=12 | 20..=42 | 50..=99);
            let letter_fits = corsica > 0 && n.at(5) == b'2' || n.at(6).is_ascii_digit();
            n.is_one_of(0, "1278") && is_month && letter_fits && (n.len() == 13 || 97 - (body - corsica) % 97 == n.number(13, 2))
        },
    ),
    // Tax number of a person.
    id("FR", &["99 99 999 999 999", "9999999999999"], &[], &["spi", "numéro fiscal"], |n| {
        n.is_one_of(0, "0123") && n.number(0, 10) % 511 == n.number(10, 3)
    }),
    // National insurance number.
    id(
        "GB",
        &["AA999999A", "AA 99 99 99 A", "AA-99-99-99-A", "AA 999999 A", "AA 9999 99 A", "AA 99 9999 A"],
        &[],
        &["nino", "ni no"],
        |n| {
            let is_letter = |index: usize, excluded: &str| n.at(index).is_ascii_alphabetic() && !n.is_one_of(index, excluded);
            is_letter(0, "DFIQUV")
                && is_letter(1, "DFIOQUV")
                && !n.starts_with_any(&["BG", "GB", "KN", "NK", "NT", "TN", "ZZ"])
                && n.is_one_of(8, "ABCD")
        },
    ),
    // NHS number.
    id("GB", &["999 999 9999"], &["999-999-9999", "9999999999"], &["nhs"], |n| {
        n.complement(&[10, 9, 8, 7, 6, 5, 4, 3, 2], 11) == n.digit(9)
    })
    .of_kind("medical_id"),
    // Community health index of Scotland: date of birth and serial number.
    id("GB", &[], &["9999999999", "999999 9999"], &["chi"], |n| {
        n.dmy(0, &[0], &[0]) && n.complement(&[10, 9, 8, 7, 6, 5, 4, 3, 2], 11) == n.digit(9)
    })
    .of_kind("medical_id"),
    // Unique taxpayer reference: the check digit is the first.
    id("GB", &[], &["9999999999", "99999 99999"], &["utr"], |n| {
        let check = n.sum_from(1, &[6, 7, 8, 9, 10, 5, 4, 3, 2]) % 11;
        [2, 1, 9, 8, 7, 6, 5, 4, 3, 2, 1].get(usize::try_from(check).unwrap_or(0)) == Some(&n.digit(0))
    }),
    // Unique pupil number.
    id("GB", &[], &["A999999999999", "A99999999999A"], &["upn", "pupil"], |n| {
        const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRTUVWXYZ0123456789";
        let place = |index: usize| LETTERS.iter().position(|letter| *letter == n.at(index)).unwrap_or(0);
        let check = (1..13).map(|index| place(index) * (index + 1)).sum::<usize>() % 23;
        LETTERS.get(check) == Some(&n.at(0))
    }),
    // Driving licence: five letters of the surname (filled with 9), decade, month (+ 50 for women), day and year of birth, initials.
    id(
        "GB",
        &["AAAAA999999AX9AA", "AAAA9999999AX9AA", "AAA99999999AX9AA", "AA999999999AX9AA", "AAAAA 999999 AX9AA", "AAAAA-999999-AX9AA"],
        &[],
        &["dvla", "licen"],
        is_day_of_licence,
    )
    .of_kind("drivers_license"),
    // Social security number: date of birth and serial number.
    id("GR", &["99999999999"], &[], &["amka", "αμκα"], |n| n.dmy(0, &[0], &[0]) && n.luhn()),
    id("GR", &[], &["999999999"], &["afm", "αφμ", "α φ μ"], |n| n.sum(&[256, 128, 64, 32, 16, 8, 4, 2]) % 11 % 10 == n.digit(8)),
    id("HR", &[], &["99999999999"], &["oib"], Number::mod_11_10),
    // Social security number, tax number (days since 1867) and personal number of Hungary.
    id("HU", &[], &["999-999-999", "999 999 999", "999999999"], &["taj"], |n| n.sum(&[3, 7, 3, 7, 3, 7, 3, 7]) % 10 == n.digit(8))
        .of_kind("medical_id"),
    id("HU", &[], &["9999999999"], &["adóazonosító", "adoazonosito", "adójel"], |n| {
        n.at(0) == b'8' && n.sum(&[1, 2, 3, 4, 5, 6, 7, 8, 9]) % 11 == n.digit(9)
    }),
    id("HU", &["9-999999-9999", "9 999999 9999"], &["99999999999"], &["személyi", "szemelyi"], |n| {
        let check = n.digit(10);
        n.is_one_of(0, "12345678")
            && n.ymd(1, &[0], &[0])
            && (n.sum(&[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]) % 11 == check || n.sum(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) % 11 == check)
    }),
    // Personal public service number.
    id("IE", &["9999999A", "9999999AA"], &[], &["pps"], |n| {
        let second = if n.is_one_of(8, "ABCDEFGHI") { n.digit(8) - 9 } else { 0 };
        let check = (n.sum(&[8, 7, 6, 5, 4, 3, 2]) + 9 * second) % 23;
        (n.len() == 8 || n.is_one_of(8, "ABCDEFGHITWX"))
            && b"WABCDEFGHIJKLMNOPQRSTUV".get(usize::try_from(check).unwrap_or(0)) == Some(&n.at(7))
    }),
    // Date of birth, two digits, check digit and century.
    id("IS", &["999999-9999", "9999999999"], &["999999 9999"], &["kennitala", "kt"], |n| {
        n.is_one_of(9, "90") && n.dmy(0, &[0], &[0]) && n.sum(&[3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
    }),
    // Tax code: surname, first name, year, month, day (+ 40 for women), municipality, check letter.
    id("IT", &["AAAAAA99A99A999A", "AAA AAA 99A99 A999A", "AAA AAA 99A99A999A"], &[], &[], |n| {
        const ODD: [u32; 26] = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
        let alphabetic = |index: usize| if n.at(index).is_ascii_digit() { n.digit(index) } else { n.digit(index) - 10 };
        let odd = |index: usize| usize::try_from(alphabetic(index)).ok().and_then(|place| ODD.get(place)).copied().unwrap_or(0);
        let sum: u32 = (0..15).map(|index| if index % 2 == 0 { odd(index) } else { alphabetic(index) }).sum();
        n.is_one_of(8, "ABCDEHLMPRST") && matches!(n.number(9, 2), 1..=31 | 41..=71) && sum % 26 == n.digit(15) - 10
    }),
    // Date of birth (or a 32 in front since 2017), century, serial number.
    id("LV", &["999999-99999"], &["99999999999", "999999 99999"], &["pk", "personas"], |n| {
        let has_check = (1 + n.sum(&[10, 5, 8, 4, 2, 1, 6, 3, 7, 9])) % 11 % 10 == n.digit(10);
        n.dmy(0, &[0], &[0]) && n.is_one_of(6, "012") && has_check || n.starts_with_any(&["32"])
    }),
    // Date of birth, serial number, check digits of Luhn (of the first eleven) and of Verhoeff.
    id("LU", &["9999999999999", "9999 9999 999 99", "99999999 99999"], &[], &["matricule"], |n| {
        let without_luhn = Number::new(&format!("{:011}{}", n.number(0, 11), n.digit(12)));
        n.full_date(0) && n.luhn_of(0, 12) && without_luhn.is_some_and(|n| n.verhoeff(12))
    }),
    id("MD", &[], &["9999999999999"], &["idnp"], |n| {
        n.is_one_of(0, "02") && n.sum(&[7, 3, 1, 7, 3, 1, 7, 3, 1, 7, 3, 1]) % 10 == n.digit(12)
    }),
    unchecked("MT", &[], &["9999999A", "999999A", "99999A"], &["malt"], |n| n.is_one_of(n.len() - 1, "MGAPLHBZ")),
    id("NL", &["9999.99.999"], &["999999999", "9999 99 999", "999.999.999"], &["bsn", "burgerservice", "sofi", "onderwijsnummer"], |n| {
        (n.sum(&[9, 8, 7, 6, 5, 4, 3, 2]) + 10 * n.digit(8)).is_multiple_of(11) && n.number(0, 9) > 999_999
    }),
    // Birth number and D-number (day + 40), with two check digits. Test numbers have a month + 40 or + 80.
    id("NO", &["99999999999", "999999 99999", "999999-99999"], &[], &["fnr", "fødselsn", "fodselsn"], |n| {
        n.dmy(0, &[0, 40, 80], &[0, 40])
            && n.complement(&[3, 7, 6, 1, 8, 9, 4, 5, 2], 11) == n.digit(9)
            && n.complement(&[5, 4, 3, 2, 7, 6, 5, 4, 3, 2], 11) == n.digit(10)
    }),
    id("NO", &["9999.99.99999"], &["99999999999", "9999 99 99999"], &["konto", "account"], |n| {
        n.complement(&[5, 4, 3, 2, 7, 6, 5, 4, 3, 2], 11) == n.digit(10)
    })
    .of_kind("bank_account"),
    // Month + 20 from 2000.
    id("PL", &["99999999999"], &[], &["pesel"], |n| {
        let is_born = n.ymd(0, &[0], &[0]) || (n.is_past(0, 2000) && n.ymd(0, &[20], &[0]));
        is_born && n.complement(&[1, 3, 7, 9, 1, 3, 7, 9, 1, 3], 10) == n.digit(10)
    }),
    id("PL", &[], &["999-999-99-99", "999-99-99-999", "9999999999"], &["nip"], |n| n.sum(&[6, 5, 7, 2, 3, 4, 5, 6, 7]) % 11 == n.digit(9)),
    id("PL", &[], &["AAA999999", "AAA 999999"], &["dowód", "dowod", "dowodu"], |n| n.sum(&[7, 3, 1, 0, 7, 3, 1, 7, 3]) % 10 == n.digit(3)),
    id("PL", &[], &["AA9999999", "AA 9999999"], &["paszport"], |n| n.sum(&[7, 3, 0, 1, 7, 3, 1, 7, 3]) % 10 == n.digit(2))
        .of_kind("passport"),
    id("PT", &[], &["999999999", "999 999 999"], &["nif", "contribuinte"], |n| {
        let check = n.complement(&[9, 8, 7, 6, 5, 4, 3, 2], 11);
        n.is_one_of(0, "1234") && (if check == 10 { 0 } else { check }) == n.digit(8)
    }),
    id("PT", &["99999999 9 XX9", "999999999XX9", "99999999-9-XX9", "99999999 9XX9"], &[], &["cartão de cidadão", "cidad"], |n| {
        n.at(9).is_ascii_alphabetic() && luhn_with_letters(n)
    }),
    id("PT", &[], &["99999999999"], &["niss", "segurança social"], |n| {
        n.is_one_of(0, "12") && 9 - n.sum(&[29, 23, 19, 17, 13, 11, 7, 5, 3, 2]) % 10 == n.digit(10)
    }),
    // Sex and century, date of birth, county, serial number.
    id("RO", &["9999999999999"], &[], &["cnp"], |n| {
        let first = match n.at(0) {
            b'3' | b'4' => 1800,
            b'5' | b'6' => 2000,
            _ => 1900,
        };
        let check = n.sum(&[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11;
        n.is_one_of(0, "12345678")
            && (first == 1800 || n.is_past(1, first))
            && n.ymd(1, &[0], &[0])
            && (n.in_range(7, 2, 1..=52) || n.in_range(7, 2, 70..=80))
            && (if check == 10 { 1 } else { check }) == n.digit(12)
    }),
    // Insurance number, tax numbers of persons and entrepreneurs, passport.
    id("RU", &["999-999-999 99", "999-999-999-99", "999 999 999 99"], &["99999999999"], &["snils", "снилс"], |n| {
        n.sum(&[9, 8, 7, 6, 5, 4, 3, 2, 1]) % 101 % 100 == u32::try_from(n.number(9, 2)).unwrap_or(0)
    }),
    id("RU", &["999999999999"], &[], &["inn", "инн"], |n| {
        n.sum(&[7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) % 11 % 10 == n.digit(10)
            && n.sum(&[3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) % 11 % 10 == n.digit(11)
    }),
    id("RU", &[], &["999999999999999"], &["ogrnip", "огрнип"], |n| n.number(0, 14) % 13 % 10 == n.number(14, 1)),
    unchecked("RU", &[], &["9999999999999999"], &["oms", "омс", "полис"], Number::luhn).of_kind("medical_id"),
    unchecked("RU", &[], &["99 99 999999", "9999 999999", "9999999999"], &["паспорт", "серия", "passport"], |n| {
        n.in_range(0, 2, 1..=99)
    })
    .of_kind("passport"),
    // Date of birth (day + 60 for people without a number), serial number.
    id(
        "SE",
        &["999999-9999", "999999+9999", "99999999-9999"],
        &["9999999999", "999999999999"],
        &["personnummer", "personnr", "pnr", "samordning"],
        |n| {
            let from = n.len() - 10;
            (from == 0 || n.full_date(0)) && n.ymd(from, &[0], &[0, 60]) && n.luhn_of(from, 10)
        },
    ),
    // The number of the countries of former Yugoslavia: date of birth with three digits of the year, region, serial number.
    id("SI", &["9999999999999"], &[], &["jmbg", "emšo", "emso", "јмбг", "ембг", "embg", "umcn"], |n| {
        let is_year = n.in_range(4, 3, 900..=999) || n.in_range(4, 3, 0..=39);
        is_year && n.dmy(0, &[0], &[0]) && n.complement(&[7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2], 11) % 10 == n.digit(12)
    }),
    id("SI", &[], &["99999999"], &["davčna", "davcna"], |n| n.complement(&[8, 7, 6, 5, 4, 3, 2], 11) % 10 == n.digit(7)),
    id("TR", &["99999999999", "999 999 999 99"], &[], &["tckn", "tc"], |n| {
        let first = n.complement(&[3, 1, 3, 1, 3, 1, 3, 1, 3], 10);
        let second = n.sum(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]) % 10;
        n.at(0) != b'0' && first == n.digit(9) && second == n.digit(10)
    }),
    id("TR", &[], &["9999999999"], &["vkn", "vergi"], |n| {
        let sum: u32 = (0..9u32)
            .map(|index| {
                let shifted = (n.digit(usize::try_from(index).unwrap_or(0)) + 9 - index) % 10;
                let doubled = shifted * 2u32.pow(9 - index) % 9;
                if shifted != 0 && doubled == 0 { 9 } else { doubled }
            })
            .sum();
        (10 - sum % 10) % 10 == n.digit(9)
    }),
    // Tax number: days since 1899 and serial number.
    id("UA", &[], &["9999999999"], &["рнокпп", "іпн", "rntrc", "rnokpp", "ipn"], |n| {
        let sum = n.sum(&[10, 5, 7, 9, 4, 6, 10, 5, 7]);
        sum % 11 % 10 == n.digit(9)
    }),
];

/// The control letter of Spanish numbers.
fn is_spanish_letter(number: u64, letter: u8) -> bool {
    b"TRWAGMYFPDXBNJZSQVHLCKE".get(usize::try_from(number % 23).unwrap_or(0)) == Some(&letter)
}

/// The control character of the Finnish code, after a serial number at `serial`.
fn is_finnish_check(n: &Number, serial: usize) -> bool {
    let number = n.number(0, 6) * 1000 + n.number(serial, 3);
    n.number(serial, 3) >= 2 && b"0123456789ABCDEFHJKLMNPRSTUVWXY".get(usize::try_from(number % 31).unwrap_or(0)) == Some(&n.at(serial + 3))
}

/// The date of a British licence is written as decade, month, day, year: `657054` is 5 July 1964.
fn is_day_of_licence(n: &Number) -> bool {
    matches!(n.number(6, 2), 1..=12 | 51..=62) && matches!(n.number(8, 2), 1..=31)
}

/// Luhn's check with letters as 10 to 35, from the right.
fn luhn_with_letters(n: &Number) -> bool {
    let sum: u32 = (0..n.len())
        .rev()
        .enumerate()
        .map(|(distance, index)| {
            let value = n.digit(index) << (distance % 2);
            if distance % 2 == 1 && value > 9 { value - 9 } else { value }
        })
        .sum();
    sum.is_multiple_of(10)
}
