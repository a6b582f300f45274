//! Reads stack traces of Python, JavaScript, Java, .NET, Go, Ruby, Rust and PHP.

use super::super::byte_regex::ByteRegex;
use super::find::{expressions, named};
use super::libraries::{is_library, package_of};

/// Lines and bytes of one stack trace that are read. The innermost frames stand at one of its ends.
const LINES_MAX: usize = 600;
const END_BYTES_MAX: usize = 32 * 1024;

/// A place in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'t> {
    pub(super) file: &'t str,
    pub(super) line: &'t str,
    pub(super) function: Option<&'t str>,
    /// The line of code, which only Python quotes.
    pub(super) code: Option<&'t str>,
    pub(super) is_library: bool,
}

/// What a stack trace shows.
#[derive(Debug, Default)]
pub(super) struct Stack<'t> {
    pub(super) language: Option<&'static str>,
    /// The innermost frame of the application's own code.
    pub(super) own: Option<Frame<'t>>,
    /// The package whose code is the innermost, if it is not the application's.
    pub(super) library: Option<&'t str>,
    /// The error that began a chain of several: its type and its message.
    pub(super) first_cause: Option<(&'t str, &'t str)>,
}

expressions! {
    PYTHON = r#"^[\s|+]*File "(?P<file>[^"]+)", line (?P<line>\d{1,7})(?:, in (?P<function>.+))?"#;
    NOTEBOOK = r"^\s*(?:Cell |Input )(?P<file>In ?\[\d{1,6}\])(?:, line (?P<line>\d{1,7})|:(?P<line2>\d{1,7}))";
    // A file with a line and a column; `async`, `new` and the name of the function are optional.
    JAVASCRIPT = r"^\s*at (?:async )?(?:(?P<function>[^()]+?) \()?(?P<file>(?:file://|webpack\S*:|node:|https?://|[A-Za-z]:[\\/]|[/.\w@<])[^():]*):(?P<line>\d{1,7}):\d{1,7}\)?\s*$";
    JAVA = r"^\s*at (?:[\w.\-]+@?[\w.\-]*/)?(?P<function>[\w.$<>]+)\((?P<file>[\w$\-]+\.(?:java|kt|scala|groovy|clj)):(?P<line>\d{1,7})\)";
    DOTNET = r"^\s*at (?P<function>[^()]+)\([^)]*\) in (?P<file>.+):line (?P<line>\d{1,7})";
    DOTNET_WITHOUT_FILE = r"^\s*at (?P<function>[A-Z]\w*(?:\.[\w`<>\[\],|]+)+)\([^)]*\)\s*$";
    GO = r"^\s+(?P<file>\S+\.go):(?P<line>\d{1,7})(?: \+0x[0-9a-f]{1,16})?\s*$";
    RUBY = r"^\s*(?:from |\d{1,4}: from |↳ )?(?P<file>[^\s:]+\.(?:rb|erb|rake)):(?P<line>\d{1,7}):in [`'](?P<function>[^`']+)'";
    RUST = r"^\s*at (?P<file>\S+\.rs):(?P<line>\d{1,7})(?::\d{1,7})?\s*$";
    RUST_FUNCTION = r"^\s*\d{1,5}:\s+(?:0x[0-9a-f]{1,16} - )?(?P<function>[^\s].*)$";
    RUST_PANIC = r"panicked at (?:'[^']*', )?(?P<file>[^\s:']+\.rs):(?P<line>\d{1,7})";
    PHP = r"^#\d{1,4} (?P<file>[^\s(]+\.php)\((?P<line>\d{1,7})\): (?P<function>[^(\s]+)";
    // The last line of a Python stack trace, and the first of the others: `httpx.ConnectError: connection refused`.
    ERROR_LINE = r"^[\s|+]*(?P<kind>[A-Za-z_][\w.$]+)(?:: (?P<message>.*))?\s*$";
    CAUSED_BY = r"^\s*(?:Caused by: |\[cause\]: |---> )(?P<kind>[A-Za-z_][\w.$]+): (?P<message>.*)";
}

/// Whether a text contains a frame of a stack trace. Cheap, for texts that mostly have none.
pub(super) fn may_have_frames(text: &str) -> bool {
    ["File \"", "\n    at ", "\n\tat ", "\n   at ", ".go:", ":in `", ":in '", "panicked at", "\n#0 ", "In [", "In["]
        .iter()
        .any(|sign| text.contains(sign))
}

/// Reads a stack trace.
pub(super) fn read(text: &str) -> Stack<'_> {
    let text = both_ends(text);
    let mut stack = Stack::default();
    // Frames of the last error of a chain. Python lists the innermost frame last, the others first.
    let mut frames: Vec<Frame<'_>> = Vec::new();
    let mut previous = "";
    let (mut is_first_error, mut is_nested, mut last_python_line) = (true, false, None);
    let mut lines = text.into_iter().flat_map(str::lines).take(LINES_MAX).peekable();
    while let Some(line) = lines.next() {
        if line.contains("During handling of the above exception") || line.contains("was the direct cause of the following exception") {
            if is_first_error {
                stack.first_cause = last_python_line.and_then(error_of_line);
                is_first_error = false;
            }
            frames.clear();
        }
        if let Some(kind) = named(&CAUSED_BY, line, "kind") {
            // The last cause is the first error. Its frames are not those of the error that was raised.
            stack.first_cause = Some((kind, named(&CAUSED_BY, line, "message").unwrap_or_default()));
            is_nested = true;
        }
        // .NET prints the inner errors first.
        is_nested &= !line.contains("--- End of inner exception stack trace ---");
        if let Some((language, mut frame)) = frame_of(line, previous) {
            stack.language.get_or_insert(language);
            if language == "Python" && !frame.file.starts_with("In") {
                let is_code =
                    |next: &&str| next.starts_with([' ', '|']) && !next.trim_start().starts_with("File \"") && !next.trim().is_empty();
                frame.code = lines.next_if(is_code).map(str::trim).filter(|code| !code.starts_with(['^', '~']));
            }
            // What stands above the call of `panic` handled the panic: `recover`, and what printed the stack trace.
            if language == "Go" && is_call_of_panic(previous) {
                frames.clear();
            } else if !is_nested {
                frames.push(frame);
            }
        } else if !line.trim().is_empty() && !line.starts_with([' ', '\t']) {
            last_python_line = Some(line);
        }
        previous = line;
    }
    if stack.language != Some("Python") {
        frames.reverse();
    }
    // Innermost last, in every language.
    stack.own = frames.iter().rev().find(|frame| !frame.is_library).copied();
    stack.library = frames.last().filter(|frame| frame.is_library).and_then(|frame| package_of(frame));
    stack
}

/// Whether a line of a Go stack trace is the call of `panic`: `panic({0x1400, 0xc0002})`, `runtime.gopanic(...)`.
fn is_call_of_panic(line: &str) -> bool {
    ["panic(", "runtime.gopanic(", "runtime.goPanicIndex(", "runtime.panicmem("].iter().any(|call| line.starts_with(call))
}

fn error_of_line(line: &str) -> Option<(&str, &str)> {
    let kind = named(&ERROR_LINE, line, "kind")?;
    let is_type = kind.ends_with("Error") || kind.ends_with("Exception") || kind.contains('.') || kind.starts_with(char::is_uppercase);
    is_type.then(|| (kind, named(&ERROR_LINE, line, "message").unwrap_or_default()))
}

/// The frame in a line, with its language. Go and Rust write the function in the line before.
fn frame_of<'t>(line: &'t str, previous: &'t str) -> Option<(&'static str, Frame<'t>)> {
    // The expressions run only on lines that can match.
    let trimmed = line.trim_start();
    let has = |sign: &str| line.contains(sign);
    if has("File \"") {
        return frame(&PYTHON, line).map(|frame| ("Python", frame));
    }
    if trimmed.starts_with("Cell In") || trimmed.starts_with("Input In") {
        let line_number = named(&NOTEBOOK, line, "line").or_else(|| named(&NOTEBOOK, line, "line2"))?;
        let file = named(&NOTEBOOK, line, "file")?;
        return Some(("Python", Frame { file, line: line_number, function: None, code: None, is_library: false }));
    }
    if has("panicked at ") {
        return frame(&RUST_PANIC, line).map(|frame| ("Rust", frame));
    }
    if trimmed.starts_with("at ") {
        if has(".rs:") {
            let function = named(&RUST_FUNCTION, previous, "function");
            return frame(&RUST, line).map(|frame| ("Rust", Frame { function, ..frame }));
        }
        return (frame(&JAVA, line).map(|frame| ("Java", frame)))
            .or_else(|| frame(&DOTNET, line).map(|frame| (".NET", frame)))
            .or_else(|| frame(&JAVASCRIPT, line).map(|frame| ("JavaScript", frame)))
            .or_else(|| {
                let function = named(&DOTNET_WITHOUT_FILE, line, "function")?;
                Some((".NET", Frame { file: "", line: "", function: Some(function), code: None, is_library: true }))
            });
    }
    if has(".go:") {
        // `render.(*Table).Cell(0xc00001)`: the last parenthesis opens the arguments.
        let function = previous
            .rsplit_once('(')
            .map(|(name, _)| name.trim())
            .filter(|name| !name.is_empty() && !name.contains(' ') && !previous.starts_with([' ', '\t']));
        return frame(&GO, line).map(|frame| ("Go", Frame { function, ..frame }));
    }
    if has(":in `") || has(":in '") {
        return frame(&RUBY, line).map(|frame| ("Ruby", frame));
    }
    if trimmed.starts_with('#') && has(".php(") {
        return frame(&PHP, line).map(|frame| ("PHP", frame));
    }
    None
}

fn frame<'t>(expression: &ByteRegex, line: &'t str) -> Option<Frame<'t>> {
    let captures = expression.captures(line)?;
    let group = |name: &str| captures.name(name).map(|found| found.as_str().trim());
    let (file, function) = (group("file")?, group("function"));
    let function = function
        .map(|name| name.trim_start_matches("new ").trim_start_matches("async "))
        .filter(|name| !matches!(*name, "<module>" | "<anonymous>" | "Object.<anonymous>"));
    Some(Frame { file, line: group("line")?, function, code: None, is_library: is_library(file, function) })
}

/// The first and the last part of a long text.
fn both_ends(text: &str) -> [&str; 2] {
    if text.len() <= 2 * END_BYTES_MAX {
        return [text, ""];
    }
    let boundary = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at += 1;
        }
        at
    };
    [text.get(..boundary(END_BYTES_MAX)).unwrap_or_default(), text.get(boundary(text.len() - END_BYTES_MAX)..).unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stack trace, and its language, own frame and library.
    type Known = (&'static str, &'static str, Option<(&'static str, &'static str, Option<&'static str>)>, Option<&'static str>);

    const STACKS: &[Known] = &[
        (
            "Traceback (most recent call last):\n  File \"/app/agents/run.py\", line 12, in main\n    process(order)\n  File \"/app/agents/orders.py\", line 42, in process\n    return order[\"customer\"]\n           ~~~~~^^^^^^^^^^^^\nKeyError: 'customer'\n",
            "Python",
            Some(("/app/agents/orders.py", "42", Some("process"))),
            None,
        ),
        (
            "Traceback (most recent call last):\n  File \"/srv/bot.py\", line 7, in ask\n    r = client.get(url)\n  File \"/usr/lib/python3.12/site-packages/httpx/_client.py\", line 1053, in get\n    return self.request(\nhttpx.ConnectError: refused",
            "Python",
            Some(("/srv/bot.py", "7", Some("ask"))),
            Some("httpx"),
        ),
        (
            "TypeError: Cannot read properties of undefined (reading 'id')\n    at loadOrder (/app/dist/orders.js:18:22)\n    at async Agent.run (/app/dist/agent.js:90:5)\n    at node:internal/process/task_queues:95:5",
            "JavaScript",
            Some(("/app/dist/orders.js", "18", Some("loadOrder"))),
            None,
        ),
        (
            "AI_APICallError: boom\n    at post (file:///app/node_modules/@ai-sdk/provider-utils/dist/index.mjs:12:3)\n    at async file:///app/src/index.ts:4:1",
            "JavaScript",
            Some(("file:///app/src/index.ts", "4", None)),
            Some("@ai-sdk/provider-utils"),
        ),
        (
            "java.lang.NullPointerException: Cannot invoke \"String.length()\"\n\tat java.base/java.util.Objects.requireNonNull(Objects.java:233)\n\tat com.acme.orders.Loader.load(Loader.java:51)\n\tat org.springframework.web.Servlet.service(Servlet.java:9)",
            "Java",
            Some(("Loader.java", "51", Some("com.acme.orders.Loader.load"))),
            Some("java.util"),
        ),
        (
            "System.NullReferenceException: Object reference not set\n   at System.Collections.Generic.List`1.get_Item(Int32 index)\n   at Acme.Orders.Loader.Load(String id) in /src/Orders/Loader.cs:line 88\n   at Acme.Program.Main() in /src/Program.cs:line 5",
            ".NET",
            Some(("/src/Orders/Loader.cs", "88", Some("Acme.Orders.Loader.Load"))),
            Some("System.Collections"),
        ),
        (
            "goroutine 21 [running]:\nruntime/debug.Stack()\n\t/usr/local/go/src/runtime/debug/stack.go:26 +0x5e\nmain.recoverTool.func1()\n\t/src/tools.go:52 +0x9c\npanic({0xb1c2a0?, 0xc0003f6018?})\n\t/usr/local/go/src/runtime/panic.go:792 +0x132\nmain.(*Sheet).Row(...)\n\t/src/sheet.go:88\nmain.(*Sheet).Print(0xc00041c000)\n\t/src/sheet.go:61 +0x3a5\n",
            "Go",
            Some(("/src/sheet.go", "88", Some("main.(*Sheet).Row"))),
            None,
        ),
        (
            "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.load(0xc000012345)\n\t/app/orders/load.go:31 +0x1d\nmain.main()\n\t/app/main.go:9 +0x25\n",
            "Go",
            Some(("/app/orders/load.go", "31", Some("main.load"))),
            None,
        ),
        (
            "app/models/order.rb:14:in `total': undefined method `price' for nil:NilClass (NoMethodError)\n\tfrom /usr/lib/ruby/gems/3.2.0/gems/sidekiq-7.1.0/lib/sidekiq/processor.rb:200:in `execute_job'",
            "Ruby",
            Some(("app/models/order.rb", "14", Some("total"))),
            None,
        ),
        (
            "thread 'main' panicked at src/orders.rs:42:9:\nindex out of bounds: the len is 3 but the index is 5\nstack backtrace:\n   0: rust_begin_unwind\n             at /rustc/abc/library/std/src/panicking.rs:645:5\n   1: shop::orders::load\n             at ./src/orders.rs:42:9\n",
            "Rust",
            Some(("src/orders.rs", "42", None)),
            None,
        ),
        (
            "PHP Fatal error: Uncaught TypeError\n#0 /var/www/app/Orders.php(77): Orders->total()\n#1 /var/www/vendor/laravel/framework/src/Router.php(5): handle()",
            "PHP",
            Some(("/var/www/app/Orders.php", "77", Some("Orders->total"))),
            None,
        ),
        (
            "NameError Traceback (most recent call last)\nCell In[3], line 2\n      1 x = 1\n----> 2 df.head()\nNameError: name 'df' is not defined",
            "Python",
            Some(("In[3]", "2", None)),
            None,
        ),
        ("  File \"<string>\", line 3, in <module>\nZeroDivisionError: division by zero", "Python", Some(("<string>", "3", None)), None),
    ];

    #[test]
    fn the_innermost_own_frame_is_found_in_each_language() {
        for (text, language, own, library) in STACKS {
            let stack = read(text);
            assert!(may_have_frames(text), "{text}");
            assert_eq!(stack.language, Some(*language), "{text}");
            assert_eq!(stack.own.map(|frame| (frame.file, frame.line, frame.function)), *own, "{text}");
            assert_eq!(stack.library, *library, "{text}");
        }
    }

    #[test]
    fn the_first_cause_of_a_chain_is_found() {
        for (text, cause) in [
            (
                "Traceback (most recent call last):\n  File \"/a.py\", line 1, in f\n    g()\nhttpcore.ConnectError: [Errno 111] Connection refused\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"/b.py\", line 2, in h\n    f()\nopenai.APIConnectionError: Connection error.",
                ("httpcore.ConnectError", "[Errno 111] Connection refused"),
            ),
            (
                "Traceback (most recent call last):\n  File \"/a.py\", line 1, in f\nKeyError: 'id'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"/a.py\", line 9, in f\nRuntimeError: no id",
                ("KeyError", "'id'"),
            ),
            (
                "java.lang.RuntimeException: a\n\tat com.acme.A.b(A.java:1)\nCaused by: java.io.IOException: b\nCaused by: java.net.ConnectException: Connection refused",
                ("java.net.ConnectException", "Connection refused"),
            ),
            (
                "Error: outer\n    at f (/a.js:1:2) {\n  [cause]: Error: connect ECONNREFUSED 127.0.0.1:5432\n}",
                ("Error", "connect ECONNREFUSED 127.0.0.1:5432"),
            ),
            (
                "System.Exception: outer\n ---> System.Net.Sockets.SocketException: refused\n   at A.B() in /a.cs:line 3",
                ("System.Net.Sockets.SocketException", "refused"),
            ),
        ] {
            assert_eq!(read(text).first_cause, Some(cause), "{text}");
        }
    }

    #[test]
    fn ordinary_texts_have_no_frames() {
        for text in [
            "look at the file: line 3",
            "We met at noon (12:30:15)",
            "The order is at /orders/42",
            "File not found, line 7",
            "",
            "at home\nin the office",
        ] {
            assert_eq!(read(text).own, None, "{text}");
        }
    }

    #[test]
    fn code_is_quoted_where_the_stack_trace_has_it() {
        assert_eq!(read(STACKS[0].0).own.unwrap().code, Some("return order[\"customer\"]"));
        assert_eq!(read(STACKS[2].0).own.unwrap().code, None);
    }
}
