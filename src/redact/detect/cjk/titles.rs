//! Names beside a cue or a title, which need not be in the lexicon: `山田様`, `ジョン・スミスさん`, `我叫…`, `…님`.

use std::ops::Range;

use crate::redact::detect::lexicon::look_up;
use crate::redact::detect::text::{Text, is_cjk};

/// Titles after a name.
#[rustfmt::skip]
const TITLES: &[&str] = &[
    "と申します", "と申し", "といいます", "と言います", "고객님", "さん", "様", "さま", "氏", "君", "くん", "ちゃん", "殿", "先生", "女士", "小姐", "太太", "老师", "经理", "医生", "教授", "同志", "博士", "님", "씨", "군", "양",
];

/// Words before a title that name a role or are a part of a word, and not a person.
#[rustfmt::skip]
const ROLES: &[&str] = &[
    "皆", "客", "患者", "医者", "奥", "母", "父", "兄", "姉", "子", "神", "仏", "会員", "社員", "店員", "取引先", "担当者", "利用者", "各位", "同", "多", "仕", "模", "両", "異", "有", "一", "何", "業者", "職人",
    "看護師", "役者", "芸者", "記者", "読者", "作者", "著者", "旦那", "隣", "相手", "世間", "誰", "人", "諸", "諸君", "主", "姫", "殿", "花屋", "本屋", "運転手", "警官", "大家", "学生", "老", "的", "那位", "这位", "一位", "各位", "女", "男", "位", "大学",
    "ユーザー", "オーナー", "スタッフ", "メンバー", "クライアント", "パートナー", "リーダー", "マネージャー", "エンジニア", "ゲスト", "ドライバー", "サポーター", "ファン", "ママ", "パパ", "オペレーター", "ライター",
    "고객", "사장", "선생", "회원", "부모", "기사", "대표", "팀장", "과장", "부장", "교수",
];

fn is_katakana(letter: char) -> bool {
    matches!(letter, '\u{30a1}'..='\u{30fa}' | 'ー')
}

fn is_kanji(letter: char) -> bool {
    matches!(letter, '\u{4e00}'..='\u{9fff}' | '々')
}

fn is_hangul(letter: char) -> bool {
    matches!(letter, '\u{ac00}'..='\u{d7af}')
}

/// The name before the title that starts with `letter` at `at`.
pub(super) fn before_title(text: Text<'_>, at: usize, letter: char) -> Option<Range<usize>> {
    if !matches!(
        letter,
        'さ' | '様'
            | '氏'
            | '君'
            | 'く'
            | 'ち'
            | '殿'
            | '先'
            | '女'
            | '小'
            | '太'
            | '老'
            | '经'
            | '医'
            | '教'
            | '同'
            | '博'
            | '님'
            | '씨'
            | '군'
            | '양'
    ) {
        return None;
    }
    let title = TITLES.iter().find(|title| text.rest(at).starts_with(**title))?;
    let after = text.char_at(at + title.len());
    // `様子`, `様々`, `氏名`, `양식` continue as other words.
    let is_short = title.chars().count() == 1;
    if is_short && after.is_some_and(|after| is_kanji(after) || is_hangul(letter) && is_hangul(after) && !is_particle(after)) {
        return None;
    }
    let end = at - usize::from(text.byte_before(at) == b' ');
    let last = text.char_before(end)?;
    let run_of = |is_letter: fn(char) -> bool| {
        let left = text.slice(text.0.floor_char_boundary(end.saturating_sub(60))..end);
        let len: usize = left.chars().rev().take_while(|letter| is_letter(*letter)).map(char::len_utf8).sum();
        end - len..end
    };
    // `神マリヤと申します`: whatever stands between a particle and "is my name".
    if title.starts_with('と') {
        let range = run_of(|letter| is_cjk(letter) && !matches!(letter, 'の' | 'は' | 'が' | 'を' | 'に' | 'も'));
        let count = text.slice(range.clone()).chars().count();
        return ((2..=9).contains(&count) && !look_up(text.slice(range.clone())).is_common_word()).then_some(range);
    }
    if is_katakana(last) {
        let range = run_of(|letter| is_katakana(letter) || matches!(letter, '・' | '＝'));
        let shown = text.slice(range.clone());
        return (shown.chars().count() >= 2 && !ROLES.contains(&shown)).then_some(range);
    }
    if is_hangul(last) {
        let range = run_of(is_hangul);
        let shown = text.slice(range.clone());
        let count = shown.chars().count();
        let is_name = (2..=4).contains(&count)
            && !ROLES.iter().any(|role| shown.ends_with(role))
            && !look_up(shown).is_common_word()
            && (count == 3 || end < at || starts_with_family(shown));
        // `아저씨`, `날씨` and `솜씨` are words; `양` and `군` also mean amount and district.
        let is_title = match *title {
            "님" | "고객님" => count >= 3,
            "씨" => end < at || count == 3 && starts_with_family(shown),
            _ => count == 3 && starts_with_family(shown) && end < at,
        };
        return (is_name && is_title).then_some(range);
    }
    if !is_kanji(last) {
        return None;
    }
    let run = run_of(is_kanji);
    let shown = text.slice(run.clone());
    let count = shown.chars().count();
    if ROLES.iter().any(|role| shown == *role || shown.ends_with(role) && role.chars().count() > 1) || look_up(shown).is_common_word() {
        return None;
    }
    // The whole run, or in longer runs the letters from a family name to the title: `请联系王先生`.
    if (2..=5).contains(&count) && (starts_with_family(shown) || count <= 3 && !is_short)
        || count == 1 && look_up(shown).is_family_name() && !(shown == "王" && title.starts_with(['様', 'さ']))
    {
        return Some(run);
    }
    [3, 2, 1].into_iter().find_map(|letters| {
        let len: usize = shown.chars().rev().take(letters).map(char::len_utf8).sum();
        let name = shown.get(shown.len() - len..)?;
        (count > 3 && starts_with_family(name) && !look_up(name).is_common_word() && !ROLES.contains(&name)).then_some(end - len..end)
    })
}

/// A particle after a Korean title.
fn is_particle(letter: char) -> bool {
    matches!(letter, '이' | '가' | '은' | '는' | '을' | '를' | '의' | '께' | '에' | '과' | '와' | '도' | '만' | '입' | '으' | '로')
}

fn starts_with_family(name: &str) -> bool {
    (1..=3).any(|len| {
        name.char_indices().nth(len).map_or((name.len(), len == name.chars().count()), |(at, _)| (at, true)).1
            && look_up(&name.chars().take(len).collect::<String>()).is_family_name()
    })
}

/// The name after a cue that ends before `at`.
pub(super) fn after_cue(text: Text<'_>, at: usize) -> Option<Range<usize>> {
    let window = text.window(at, 60);
    let first = window.chars().next()?;
    if is_katakana(first) {
        let len = window.find(|letter| !(is_katakana(letter) || matches!(letter, '・' | '＝'))).unwrap_or(window.len());
        let shown = window.get(..len)?;
        return (shown.contains('・') && !ROLES.contains(&shown)).then_some(at..at + len);
    }
    let run = window.get(..window.find(|letter| !is_cjk(letter)).unwrap_or(window.len()))?;
    if run.starts_with(is_hangul) {
        // Without the words that are joined to it: `홍길동입니다`.
        let stem = ["입니다", "이라고", "라고", "이에요", "예요", "이고", "께서", "에게", "님", "씨"]
            .iter()
            .find_map(|end| run.get(..run.find(end)?));
        let name = stem.unwrap_or(run);
        let is_name = (2..=4).contains(&name.chars().count()) && name.chars().all(is_hangul) && !look_up(name).is_common_word();
        return (is_name && (stem.is_some() || name.chars().count() == 3)).then_some(at..at + name.len());
    }
    if !is_kanji(first) {
        return None;
    }
    // Kanji, and kana up to a word that ends the name: `杉並たくみです`.
    let ends = ["です", "と申", "といい", "と言い", "さん", "様", "さま", "から", "の", "は", "が", "を", "に", "と", "で"];
    let end = ends.iter().filter_map(|end| run.find(end)).min().unwrap_or(run.len());
    let name = run.get(..end)?;
    let count = name.chars().count();
    let follows = window.get(run.len()..).unwrap_or_default();
    // `難波 リリ`: a blank inside the name, if the phrase continues or ends after the second word.
    if name.len() == run.len() && follows.starts_with([' ', '\u{3000}']) {
        let blank = follows.chars().next().map_or(1, char::len_utf8);
        let second = follows.get(blank..)?;
        let second = second.get(..second.find(|letter| !is_cjk(letter)).unwrap_or(second.len()))?;
        let end = ends.iter().filter_map(|end| second.find(end)).min().unwrap_or(second.len());
        let letters = second.get(..end)?.chars().count();
        if count <= 3
            && (1..=4).contains(&letters)
            && end > 0
            && (end < second.len() || starts_with_family(name) || matches!(text.byte_before(at), b':' | b' '))
        {
            return Some(at..at + run.len() + blank + end);
        }
    }
    if look_up(name).is_common_word() || ROLES.contains(&name) {
        return None;
    }
    let has_kana = name.chars().any(|letter| !is_kanji(letter));
    if has_kana {
        return ((3..=7).contains(&count) && starts_with_family(name) && end < run.len()).then_some(at..at + end);
    }
    // `收件人：晁煜`: after a cue that only names follow, the family name may be unknown.
    let is_telling = || {
        let left = text.slice(text.0.floor_char_boundary(at.saturating_sub(24))..at);
        ["叫", "名字是", "姓名", "收件人", "联系人", "持卡人", "患者", "签名"]
            .iter()
            .any(|cue| left.trim_end_matches(['：', ':', ' ']).ends_with(cue))
    };
    match count {
        2..=3 if name.len() == run.len() && is_telling() => Some(at..at + end),
        2..=4 if starts_with_family(name) => Some(at..at + end),
        5.. if starts_with_family(name) => {
            let letters = if name.chars().take(2).collect::<String>().chars().count() == 2
                && look_up(&name.chars().take(2).collect::<String>()).is_family_name()
            {
                4
            } else {
                3
            };
            let shown: String = name.chars().take(letters).collect();
            let begins_word = (2..=3).any(|len| look_up(&name.chars().take(len).collect::<String>()).is_common_word());
            (!begins_word).then_some(at..at + shown.len())
        }
        _ => None,
    }
}
