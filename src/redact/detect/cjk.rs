//! Finds names and addresses in Japanese, Chinese and Korean, which have no capitals and few spaces.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::Match;
use super::lexicon::look_up;
use super::text::{Text, is_cjk};

/// Cues before a name: "I am", "my name is", "customer".
#[rustfmt::skip]
const CUES: [&str; 19] = [
    "我叫", "我是", "名字是", "名字叫", "姓名", "我的名字是", "이름은 ", "저는 ", "제 이름은 ", "고객 ", "客户", "客戶", "用户", "担当", "患者", "員工", "员工", "는 ", "은 ",
];

/// Words that follow a name: "my name is" (Japanese), honorifics, particles.
#[rustfmt::skip]
const NAME_ENDS: [&str; 22] = [
    "と申します", "といいます", "と言います", "です", "さん", "様", "さま", "氏", "先生", "女士", "小姐", "经理", "님", "씨", "입니다", "이라고", "라고", "이고", "이며", "의", "だ", "が",
];

/// Honorifics, which may follow a family name alone.
const TITLES: [&str; 10] = ["さん", "様", "さま", "氏", "先生", "女士", "小姐", "经理", "님", "씨"];

/// Addresses in Taiwan, Japan, China and Korea. They name the largest part first: prefecture, city, street, number.
static ADDRESS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
            r"(?x)
            (?:\d{3,6}\s?)?[\u{4e00}-\u{9fff}]{2,14}(?:路|街|大道)(?:[0-9一二三四五六七八九十]+段)?[0-9]+(?:巷[0-9]+)?(?:弄[0-9]+)?(?:號|号)(?:之[0-9]+)?(?:[0-9]+(?:樓|楼))?(?:之[0-9]+)?
          | (?:〒?\s?\d{3}-\d{4}\s*)?(?:東京都|北海道|大阪府|京都府|[\u{4e00}-\u{9fff}]{2,3}県)[\u{3005}-\u{30ff}\u{4e00}-\u{9fff}0-90-9０-９ー−\x{2d}\s]{2,60}[0-9０-９号番地目室]
          | [\u{4e00}-\u{9fff}]{2,8}(?:省|市|自治区|區|区|縣|县)[\u{4e00}-\u{9fff}0-9A-Za-z座街路道巷弄\x{2d}]{2,50}(?:号|號|室|楼|樓|街|座)(?:[0-9]+(?:室|号|樓|楼)?)?(?:\s?[0-9]{6})?
          | [\u{ac00}-\u{d7af}]{2,8}(?:시|도|광역시|특별시|구|군)\s[\u{ac00}-\u{d7af}0-9\s]{2,50}(?:로|길|동|가|거리)\s?[0-9-]+(?:\s?\([\u{ac00}-\u{d7af}\s0-9]{2,20}\))?
          ",
        )
        .ok()
});

/// The first address in a text.
pub(super) fn address_in(text: &str) -> Option<Range<usize>> {
    ADDRESS.as_ref()?.find(text).map(|found| found.range())
}

/// Adds every address.
pub(super) fn addresses(text: Text<'_>, matches: &mut Vec<Match>) {
    let found = ADDRESS.as_ref().into_iter().flat_map(|address| address.find_iter(text.0));
    matches.extend(found.map(|found| Match { range: found.range(), kind: "address", detector: "shape" }));
}

/// Adds names: a family name of the lexicon, followed by a given name or by a word that only follows names.
pub(super) fn names(text: Text<'_>, matches: &mut Vec<Match>) {
    let mut at = 0;
    let mut after_cjk = false;
    while at < text.len() {
        let Some(letter) = text.char_at(at) else { break };
        if letter.is_ascii() {
            // Fast path over ASCII text.
            at = text.skip_while(at, usize::MAX, |byte| byte < 0x80);
            after_cjk = false;
            continue;
        }
        if !is_cjk(letter) {
            at += letter.len_utf8();
            after_cjk = false;
            continue;
        }
        // A name starts a run of CJK letters, or follows kana or a cue inside a run.
        if (!after_cjk || is_kana(text.char_before(at)) || is_after_cue(text, at))
            && let Some(range) = cjk_name(text, at)
        {
            at = range.end;
            matches.push(Match { range, kind: "person", detector: "lexicon" });
            after_cjk = true;
            continue;
        }
        at += letter.len_utf8();
        after_cjk = true;
    }
}

fn is_kana(letter: Option<char>) -> bool {
    letter.is_some_and(|letter| matches!(letter, '\u{3040}'..='\u{30ff}'))
}

fn is_after_cue(text: Text<'_>, at: usize) -> bool {
    let left = text.slice(text.0.floor_char_boundary(at.saturating_sub(24))..at);
    CUES.iter().any(|cue| left.ends_with(cue) || left.trim_end_matches([':', '：', ' ']).ends_with(cue.trim_end()))
}

fn cjk_name(text: Text<'_>, at: usize) -> Option<Range<usize>> {
    // A word of two to four characters in Latin text that starts with a family name: `"name": "陈琳"`.
    let run: String = text.rest(at).chars().take_while(|letter| is_cjk(*letter)).take(5).collect();
    let alone = !text.char_before(at).is_some_and(is_cjk) && (2..=4).contains(&run.chars().count());
    let family = (1..=2).any(|len| look_up(&run.chars().take(len).collect::<String>()).is_family_name());
    let latin_around =
        matches!(text.byte_before(at), b' ' | b'"' | b'\n' | b'\'' | b'>' | b'|' | b',' | b'=') && text.byte_at(at + run.len()) < 0x80;
    let after = text.rest(at + run.len());
    let continues = after.starts_with([' ', '\u{3000}']) && after.chars().nth(1).is_some_and(is_cjk);
    if alone && family && latin_around && !continues && run.chars().count() >= 2 {
        return Some(at..at + run.len());
    }
    let letters: Vec<char> = text.rest(at).chars().take(12).collect();
    let prefix_len = |count: usize| letters.iter().take(count).map(|letter| letter.len_utf8()).sum::<usize>();
    for family_len in [3, 2, 1] {
        let family: String = letters.iter().take(family_len).collect();
        if letters.len() < family_len || !family.chars().all(is_cjk) || !look_up(&family).is_family_name() {
            continue;
        }
        let has_blank = letters.get(family_len).is_some_and(|letter| matches!(letter, ' ' | '\u{3000}'));
        let given_from = family_len + usize::from(has_blank);
        let after: String = letters.iter().skip(family_len).collect();
        for given_len in [3, 2, 1] {
            let given: String = letters.iter().skip(given_from).take(given_len).collect();
            if given.chars().count() < given_len || !given.chars().all(is_cjk) {
                continue;
            }
            let next: String = letters.iter().skip(given_from + given_len).collect();
            // A given name of the lexicon; a space between the names (`松本 修平`); a word that follows names; or a cue before the name.
            let is_known = look_up(&given).is_given_name() && (family_len > 1 || given_len > 1 || has_blank);
            let ends_run = !next.chars().next().is_some_and(is_cjk);
            let is_followed = NAME_ENDS.iter().any(|end| next.trim_start().starts_with(end));
            let spaced = has_blank && given_len <= 3 && (ends_run || is_followed);
            let cued = is_after_cue(text, at) && given_len <= 2 && (ends_run || is_followed || given_len == 2);
            if is_known || spaced || (is_followed && (family_len > 1 || given_len == 2)) || cued {
                return Some(at..at + prefix_len(given_from + given_len));
            }
        }
        if TITLES.iter().any(|end| after.trim_start().starts_with(end)) {
            return Some(at..at + prefix_len(family_len));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{CustomDetectors, scan};

    #[test]
    fn every_address_of_a_text_is_found() {
        let addresses = ["千葉県長生郡睦沢町吾妻橋14丁目24番20号", "東京都新宿区西新宿2丁目8番1号", "北京市朝阳区建国路88号"];
        let text = format!("一つ目は {}。 二つ目は {}。 {}。", addresses[0], addresses[1], addresses[2]);
        let found: Vec<String> = scan(&text, &CustomDetectors::default())
            .into_iter()
            .filter(|detection| detection.kind == "address")
            .map(|detection| detection.value)
            .collect();
        for address in addresses {
            assert!(found.iter().any(|found| found.contains(address)), "{address}: {found:?}");
        }
    }
}
