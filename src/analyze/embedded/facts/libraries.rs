//! Which frames of a stack trace are not the application's own code, and the package that they are in.

use super::find::{capture, expressions};
use super::frames::Frame;

expressions! {
    PACKAGE = r"(?:site-packages|dist-packages)[/\\](?P<package>[\w\-]+)",
        r"|node_modules[/\\](?:\.pnpm[/\\][^/\\]+[/\\]node_modules[/\\])?(?P<npm>@[\w.\-]+[/\\][\w.\-]+|[\w.\-]+)",
        r"|[/\\]gems[/\\](?P<gem>[A-Za-z][\w\-]*?)-\d",
        r"|[/\\]pkg[/\\]mod[/\\](?P<module>[\w./\-]+?)@v",
        r"|[/\\]registry[/\\]src[/\\][^/\\]+[/\\](?P<crate>[\w\-]+?)-\d";
}

/// Whether a frame is not the application's own code: a package, the standard library, or the runtime.
pub(super) fn is_library(file: &str, function: Option<&str>) -> bool {
    const PLACES: [&str; 25] = [
        "site-packages",
        "dist-packages",
        "node_modules",
        "/lib/python",
        "\\lib\\python",
        "\\Lib\\",
        "<frozen ",
        "node:",
        "/usr/local/go/src/",
        "/usr/lib/go",
        "/pkg/mod/",
        "/rustc/",
        "registry/src",
        "/gems/",
        "/rubygems/",
        "/lib/ruby/",
        "/vendor/",
        "/usr/share/",
        "<internal:",
        "/go/src/runtime/",
        "/.cargo/",
        "/.rustup/",
        "/opentelemetry/",
        "/libexec/",
        "<__array_function__",
    ];
    const PACKAGES: [&str; 34] = [
        "java.",
        "javax.",
        "jakarta.",
        "jdk.",
        "sun.",
        "com.sun.",
        "org.springframework.",
        "org.apache.",
        "org.hibernate.",
        "kotlin.",
        "kotlinx.",
        "scala.",
        "io.netty.",
        "reactor.",
        "okhttp3.",
        "okio.",
        "retrofit2.",
        "com.fasterxml.",
        "com.google.",
        "io.grpc.",
        "io.opentelemetry.",
        "dev.langchain4j.",
        "com.openai.",
        "com.anthropic.",
        "software.amazon.",
        "com.amazonaws.",
        "org.junit.",
        "io.micronaut.",
        "io.quarkus.",
        "io.vertx.",
        "org.eclipse.",
        "System.",
        "Microsoft.",
        "core::",
    ];
    // Modules of older versions of Node; a folder `internal` elsewhere is the application's.
    file.starts_with("internal/")
        || PLACES.iter().any(|place| file.contains(place))
        || function.is_some_and(|name| {
            PACKAGES.iter().any(|package| name.starts_with(package)) || name.starts_with("std::") || name.starts_with("rust_begin_unwind")
        })
}

/// The package that a frame of a library is in.
pub(super) fn package_of<'t>(frame: &Frame<'t>) -> Option<&'t str> {
    capture(&PACKAGE, frame.file).or_else(|| {
        // Java and .NET name the package in front of the class: two segments of it, as in `org.springframework`.
        let name = frame.function.filter(|_| frame.file.is_empty() || matches!(frame.file.rsplit('.').next(), Some("java" | "kt")))?;
        let (at, _) = name.match_indices('.').nth(1)?;
        name.get(..at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_the_application_is_told_from_packages() {
        for (file, function, expected) in [
            ("/usr/local/lib/python3.12/site-packages/httpx/_client.py", None, true),
            ("/usr/lib/python3.12/asyncio/tasks.py", None, true),
            ("C:\\Python312\\Lib\\json\\decoder.py", None, true),
            ("<frozen importlib._bootstrap>", None, true),
            ("/app/node_modules/.pnpm/zod@3/node_modules/zod/index.js", None, true),
            ("internal/process/task_queues.js", None, true),
            ("/usr/local/go/src/net/http/server.go", None, true),
            ("/home/app/go/pkg/mod/github.com/acme/kb@v1.2.0/kb.go", None, true),
            ("Objects.java", Some("java.util.Objects.requireNonNull"), true),
            ("/app/orders.py", Some("load"), false),
            ("/app/internal/orders/load.go", Some("orders.Load"), false),
            ("Loader.java", Some("com.acme.Loader.load"), false),
            ("src/main.rs", Some("shop::main"), false),
            ("<string>", None, false),
        ] {
            assert_eq!(is_library(file, function), expected, "{file}");
        }
    }

    #[test]
    fn packages_are_named() {
        let frame = |file: &'static str, function| Frame { file, line: "1", function, code: None, is_library: true };
        for (frame, expected) in [
            (frame("/usr/lib/python3/dist-packages/openai/_base_client.py", None), Some("openai")),
            (frame("/app/node_modules/@ai-sdk/openai/dist/index.js", None), Some("@ai-sdk/openai")),
            (frame("/app/node_modules/.pnpm/zod@3.1/node_modules/zod/index.js", None), Some("zod")),
            (frame("/usr/lib/ruby/gems/3.2.0/gems/faraday-net_http-3.0.2/lib/a.rb", None), Some("faraday-net_http")),
            (frame("/home/app/go/pkg/mod/github.com/acme/kb@v1.2.0/kb.go", None), Some("github.com/acme/kb")),
            (frame("/home/app/.cargo/registry/src/index.crates.io-6f17/reqwest-0.12.4/src/a.rs", None), Some("reqwest")),
            (frame("Servlet.java", Some("org.springframework.web.Servlet.service")), Some("org.springframework")),
            (frame("", Some("System.Net.Http.HttpClient.Send")), Some("System.Net")),
            (frame("/usr/lib/python3.12/asyncio/tasks.py", None), None),
        ] {
            assert_eq!(package_of(&frame), expected, "{}", frame.file);
        }
    }
}
