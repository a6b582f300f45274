//! Finds names and addresses in Japanese, Chinese and Korean, which have no capitals and few spaces.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::Match;
use super::lexicon::look_up;
use super::text::{Text, is_cjk};

mod titles;

/// Cues before a name: "I am", "my name is", "customer".
#[rustfmt::skip]
const CUES: &[&str] = &[
    "我叫", "我是", "名字是", "名字叫", "我的名字是", "名叫", "姓名", "联系人", "聯絡人", "收件人", "持卡人", "客户", "客戶", "患者", "員工", "员工", "病人", "租客", "原告", "被告", "证人",
    "户名", "戶名", "收款人", "付款人", "开户名", "口座名義", "受取人", "名義人", "예금주", "수취인", "송금인", "입금자", "안녕하세요,",
    "이름은", "저는", "성함은", "고객", "환자", "직원", "名前は", "私は", "氏名は", "担当の",
];

/// Cues that count before a colon or a blank only.
#[rustfmt::skip]
const MARKED_CUES: &[&str] = &[
    "用户", "用戶", "担当", "担当者", "氏名", "お名前", "名前", "お客様", "会員", "患者", "申込者", "契約者", "差出人", "宛名", "負責人", "负责人", "经办人", "签名", "此致", "담당자", "이름", "성명", "보낸 사람", "받는 사람", "환자", "작성자",
];

/// The last letters of the cues, to exclude most positions.
static CUE_ENDS: LazyLock<Vec<char>> = LazyLock::new(|| CUES.iter().chain(MARKED_CUES).filter_map(|cue| cue.chars().next_back()).collect());

/// Words that follow a name: "my name is" (Japanese), honorifics, particles.
#[rustfmt::skip]
const NAME_ENDS: &[&str] = &[
    "と申します", "といいます", "と言います", "です", "さん", "様", "さま", "氏", "先生", "女士", "小姐", "经理", "님", "씨", "입니다", "이라고", "라고", "이고", "이며", "의", "だ", "が",
];

/// Honorifics, which may follow a family name alone.
const TITLES: &[&str] = &["さん", "様", "さま", "氏", "先生", "女士", "小姐", "经理", "님", "씨"];

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
    // Every alternative has a letter outside ASCII.
    if text.is_ascii() {
        return None;
    }
    ADDRESS.as_ref()?.find(text).map(|found| found.range())
}

/// Adds every address.
pub(super) fn addresses(text: Text<'_>, matches: &mut Vec<Match>) {
    let found = ADDRESS.as_ref().into_iter().flat_map(|address| address.find_iter(text.0));
    matches.extend(found.map(|found| Match { range: found.range(), kind: "address", detector: "shape" }));
}

/// Adds names: a family name of the lexicon with a given name or a word that only follows names, and names next to a cue or a title.
pub(super) fn names(text: Text<'_>, matches: &mut Vec<Match>) {
    let mut at = 0;
    let mut after_cjk = false;
    // The end of the last name: a title after it does not start another one.
    let mut name_end = 0;
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
        let is_cued = is_after_cue(text, at);
        // A name starts a run of CJK letters, or follows kana or a cue inside a run.
        let range = if !after_cjk || is_cued || is_kana(text.char_before(at)) {
            is_cued.then(|| titles::after_cue(text, at)).flatten().or_else(|| cjk_name(text, at))
        } else {
            None
        };
        let range = range.or_else(|| titles::before_title(text, at, letter).filter(|range| range.start >= name_end));
        after_cjk = true;
        let Some(range) = range else {
            at += letter.len_utf8();
            continue;
        };
        at = range.end.max(at + letter.len_utf8());
        name_end = range.end;
        matches.push(Match { range, kind: "person", detector: "lexicon" });
    }
}

fn is_kana(letter: Option<char>) -> bool {
    letter.is_some_and(|letter| matches!(letter, '\u{3040}'..='\u{30ff}'))
}

fn is_after_cue(text: Text<'_>, at: usize) -> bool {
    // The last letters of all cues, and what may stand between a cue and a name.
    let mut end = text.skip_back_while(at, 2, |byte| matches!(byte, b' ' | b':' | b'"'));
    if text.char_before(end) == Some('：') {
        end -= '：'.len_utf8();
    }
    let Some(last) = text.char_before(end).filter(|last| CUE_ENDS.contains(last)) else { return false };
    let left = text.slice(text.0.floor_char_boundary(end.saturating_sub(24))..end);
    // Cues that end in a particle or are common words need a mark or a blank after them.
    let is_marked = end < at;
    last != ' ' && (CUES.iter().any(|cue| left.ends_with(cue)) || is_marked && MARKED_CUES.iter().any(|cue| left.ends_with(cue)))
}

/// Words of a family name and a letter that is also a title: `文氏` is a name, `仕様` (specification) and `同様` are not.
fn is_word_with_title(family: &str, after: &str) -> bool {
    after.starts_with('様')
        && !after.trim_start_matches('様').starts_with(['、', '。', ' ', 'の', 'か', 'へ', 'に', 'よ', 'が', 'は', 'と'])
        || matches!(family, "仕" | "同" | "多" | "模" | "有" | "異" | "一" | "両" | "神" | "王" | "何" | "各")
}

/// Whether a common word starts at `at`: `原因` (cause) also begins with a family name. The word is longer than the name would be, or equal
/// to it.
fn starts_common_word(text: Text<'_>, at: usize, name_letters: usize) -> bool {
    let window = text.window(at, 16);
    window
        .char_indices()
        .map(|(index, letter)| index + letter.len_utf8())
        .enumerate()
        .take_while(|(_, end)| window.get(..*end).and_then(|word| word.chars().next_back()).is_some_and(is_cjk))
        .skip(1)
        .take(3)
        .any(|(index, end)| {
            let entry = look_up(window.get(..end).unwrap_or_default());
            entry.is_common_word() && (index + 1 >= name_letters || !entry.is_name())
        })
}

fn cjk_name(text: Text<'_>, at: usize) -> Option<Range<usize>> {
    let range = possible_name(text, at)?;
    let letters = text.slice(range.clone()).chars().count();
    let is_titled = || TITLES.iter().any(|title| text.rest(range.end).trim_start().starts_with(title));
    (!starts_common_word(text, at, letters) || is_titled()).then_some(range)
}

/// Whether ASCII words are next to a range on its line, on both sides unless it begins or ends the line.
fn is_in_latin(text: Text<'_>, range: Range<usize>) -> bool {
    let left = text.skip_back_while(range.start, 3, |byte| matches!(byte, b' ' | b':' | b',' | b'"' | b'('));
    let right = text.skip_while(range.end, 3, |byte| matches!(byte, b' ' | b',' | b'\'' | b'"' | b')' | b'?' | b'.'));
    let starts = left == 0 || text.byte_before(left) == b'\n';
    let ends = matches!(text.byte_at(right), 0 | b'\n');
    let (before, after) = (text.byte_before(left).is_ascii_alphabetic(), text.byte_at(right).is_ascii_alphabetic());
    (before && left < range.start && (after || ends)) || (starts && after && right > range.end)
}

fn possible_name(text: Text<'_>, at: usize) -> Option<Range<usize>> {
    // A word of two to four characters in Latin text that starts with a family name: `"name": "陈琳"`.
    let run: String = text.rest(at).chars().take_while(|letter| is_cjk(*letter)).take(5).collect();
    let alone = !text.char_before(at).is_some_and(is_cjk) && (2..=4).contains(&run.chars().count());
    let family = (1..=2).any(|len| look_up(&run.chars().take(len).collect::<String>()).is_family_name());
    let latin_around = (at == 0 || matches!(text.byte_before(at), b' ' | b'"' | b'\n' | b'\'' | b'>' | b'|' | b',' | b'='))
        && text.byte_at(at + run.len()) < 0x80;
    let after = text.rest(at + run.len());
    let continues = after.starts_with([' ', '\u{3000}']) && after.chars().nth(1).is_some_and(is_cjk);
    // Korean words also occur between punctuation; a name of three syllables in quotes is likelier.
    let is_hangul = run.starts_with(|letter| matches!(letter, '\u{ac00}'..='\u{d7af}'));
    let fits = !is_hangul || (run.chars().count() == 3 && !matches!(text.byte_before(at), b' ' | b'\n' | b'>'));
    if alone && family && latin_around && !continues && fits {
        return Some(at..at + run.len());
    }
    // In a Latin sentence, a given name alone and Korean names of three syllables: `they asked 지훈 about it`.
    let is_name = || look_up(&run).is_given_name() || family && run.chars().count() == 3;
    if alone && latin_around && !continues && is_in_latin(text, at..at + run.len()) && is_name() {
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
            let spaced = has_blank
                && given_len <= 3
                && (ends_run || is_followed)
                && !given.starts_with(|letter| matches!(letter, '\u{ac00}'..='\u{d7af}'));
            let cued = is_after_cue(text, at) && given_len <= 2 && (ends_run || is_followed || given_len == 2);
            if is_known || spaced || (is_followed && (family_len > 1 || given_len == 2)) || cued {
                return Some(at..at + prefix_len(given_from + given_len));
            }
        }
        if TITLES.iter().any(|end| after.trim_start().starts_with(end)) && !(family_len == 1 && is_word_with_title(&family, &after)) {
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

    fn persons(text: &str) -> Vec<String> {
        let found = scan(text, &CustomDetectors::default());
        found.into_iter().filter(|detection| detection.kind == "person").map(|detection| detection.value).collect()
    }

    #[test]
    fn names_beside_titles_and_cues() {
        for (text, name) in [
            ("ゾルケル・ヴァントロバさんから電話", "ゾルケル・ヴァントロバ"),
            ("担当：ヴァントロバ様", "ヴァントロバ"),
            ("高橋様からの問い合わせ", "高橋"),
            ("氏名: 松本修平", "松本修平"),
            ("请联系王先生", "王"),
            ("姓名：陈琳涛", "陈琳涛"),
            ("收件人：龚昊，电话", "龚昊"),
            ("제 이름은 남궁도윤입니다", "남궁도윤"),
            ("담당자: 강태율", "강태율"),
            ("강태율님 안녕하세요", "강태율"),
        ] {
            assert!(persons(text).iter().any(|found| found == name), "{name} in {text:?}: {:?}", persons(text));
        }
    }

    #[test]
    fn common_words_are_no_names() {
        for text in [
            "原因を調べています。仕様の変更、同様の問題、皆様へ",
            "文件不存在，请检查路径。任务已完成。用户名不能为空。",
            "\n文档\n高度\n任务 1",
            "선택된 항목을 삭제하시겠습니까? 문서 추가, 정보 수정",
            "고객님의 주문, 선생님, 회원님, 부모님께, 날씨",
            "お客様のご注文、患者さん、ユーザーさん",
        ] {
            assert!(persons(text).is_empty(), "{text:?}: {:?}", persons(text));
        }
    }
}
