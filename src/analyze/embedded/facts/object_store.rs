//! Facts of a failed call of an object store: the bucket, the key, the operation and the code of the error, in the words of the SDKs of S3, Google Cloud
//! Storage, Azure Blob Storage and `MinIO`.

use super::super::byte_regex::ByteRegex;
use super::call::{RecordedCall, source_of};
use super::find::{add_from_messages, expressions};
use super::names::{FactName, fact_names};
use super::tool_call::{MISSING_RESOURCE, RESOURCE_ARGUMENT, RESOURCE_KIND, RESOURCE_SOURCE, RESOURCE_SOURCE_TEXT};
use super::{Case, Extractor, Facts, Place, shortened};

fact_names! {
    BUCKET = "bucket", Text, "the bucket or container";
    OBJECT_KEY = "object_key", Text, "the key of the object";
    STORE_OPERATION = "store_operation", Text, "the operation of the service";
    STORE_ERROR = "store_error_code", Text, "the code of the service's error";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

const NAME_CHARS_MAX: usize = 160;

const IN_MESSAGES: &[(&FactName, &ByteRegex)] =
    &[(&STORE_ERROR, &CODE_IN_TEXT), (&STORE_OPERATION, &OPERATION_IN_TEXT), (&BUCKET, &BUCKET_IN_TEXT), (&OBJECT_KEY, &KEY_IN_TEXT)];

expressions! {
    CODE_IN_TEXT = r"(?-u:\b)An error occurred \(([A-Za-z0-9_.]{2,60})\)|<Code>([A-Za-z0-9_.]{2,60})</Code>|(?-u:\b)ErrorCode: ?([A-Za-z][A-Za-z0-9_]{2,60})|(?-u:\b)(NoSuchKey|NoSuchBucket|BlobNotFound|ContainerNotFound)(?-u:\b)|(?-u:\b)api error ([A-Z][A-Za-z]{2,60}):|(?-u:\b)Error Code: ([A-Z][A-Za-z]{2,60})(?-u:\b)";
    OPERATION_IN_TEXT = r"(?-u:\b)when calling the ([A-Z][A-Za-z0-9]{2,60}) operation|(?-u:\b)operation error [A-Z0-9 a-z]{2,30}: ([A-Z][A-Za-z0-9]{2,60}),";
    BUCKET_IN_TEXT = r#"(?-u:\b)(?:s3|s3a|gs|gcs|r2|minio|abfss?)://([a-z0-9][a-z0-9._-]{2,80})|<BucketName>([^<\n]{3,80})<|(?-u:\b)No such object: ([a-z0-9][a-z0-9._-]{2,80})/|(?i)(?-u:\b)bucket:? ['"`]([a-z0-9][a-z0-9._-]{2,80})['"`]"#;
    KEY_IN_TEXT = r#"(?-u:\b)(?:s3|s3a|gs|gcs|r2|minio)://[a-z0-9][a-z0-9._-]{2,80}/([^\s'"`,;)<>]{1,300})|<Key>([^<\n]{1,300})<|(?-u:\b)No such object: [a-z0-9][a-z0-9._-]{2,80}/([^\s'"`,;)]{1,300})|(?i)(?-u:\b)(?:object|key|blob):? ['"`]([^'"`\n]{2,300})['"`]"#;
}

/// Whether a text is about an object store.
fn is_of_store(text: &str) -> bool {
    const WORDS: [&str; 20] = [
        "nosuchkey",
        "nosuchbucket",
        "nosuchupload",
        "blobnotfound",
        "containernotfound",
        "the specified key",
        "the specified bucket",
        "the specified blob",
        "the specified container",
        "no such object",
        "s3://",
        "gs://",
        "s3a://",
        "getobject",
        "putobject",
        "headobject",
        "listobjects",
        "storage.googleapis.com",
        "blob.core.windows.net",
        "copyobject",
    ];
    let text = text.to_ascii_lowercase();
    WORDS.iter().any(|word| text.contains(word))
}

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    if !matches!(case.label.category(), "tool_failure" | "environment_error") {
        return;
    }
    if !case.messages().any(|(_, text)| is_of_store(text)) {
        // The operation of another service of AWS is told in the same words.
        add_from_messages(case, facts, IN_MESSAGES.get(..2).unwrap_or_default());
        return;
    }
    add_from_messages(case, facts, IN_MESSAGES);
    let call = RecordedCall::of(case);
    let (Some(call), Some(arguments)) = (call.as_ref(), call.as_ref().and_then(RecordedCall::json)) else { return };
    let value_of = |names: &[&str]| {
        let plain = |key: &str| key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect::<String>();
        arguments.iter().find_map(|(key, value)| Some((key, value.as_str()?)).filter(|_| names.contains(&plain(key).as_str())))
    };
    let place = || Place::Span(call.span);
    if let Some((_, bucket)) = value_of(&["bucket", "bucketname", "container", "containername"]) {
        facts.add(&BUCKET, shortened(bucket, NAME_CHARS_MAX), place());
    }
    let Some((argument, key)) =
        value_of(&["key", "objectkey", "objectname", "object", "blob", "blobname", "path", "filename", "uri", "file"])
    else {
        return;
    };
    facts.add(&OBJECT_KEY, shortened(key, NAME_CHARS_MAX), place());
    if case.is(&["tool_resource_not_found"]) && !facts.has(&MISSING_RESOURCE) {
        facts.add(&RESOURCE_KIND, "object", place());
        facts.add(&MISSING_RESOURCE, shortened(key, NAME_CHARS_MAX), place());
        facts.add(&RESOURCE_ARGUMENT, argument, place());
        if let Some(source) = source_of(case, Some(call), key) {
            if let Some(quote) = source.quote(key) {
                facts.add(&RESOURCE_SOURCE_TEXT, quote, Place::Trace);
            }
            facts.add(&RESOURCE_SOURCE, source.place, Place::Trace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::find::{bare, capture};
    use super::*;

    #[test]
    fn errors_of_stores_are_read() {
        let s3 = "An error occurred (NoSuchKey) when calling the GetObject operation: The specified key does not exist.";
        for (text, expression, expected) in [
            (s3, &CODE_IN_TEXT, Some("NoSuchKey")),
            (s3, &OPERATION_IN_TEXT, Some("GetObject")),
            (
                "operation error S3: PutObject, https response error StatusCode: 403, api error AccessDenied: Access Denied",
                &OPERATION_IN_TEXT,
                Some("PutObject"),
            ),
            (
                "operation error S3: PutObject, https response error StatusCode: 403, api error AccessDenied: Access Denied",
                &CODE_IN_TEXT,
                Some("AccessDenied"),
            ),
            ("<Error><Code>NoSuchBucket</Code><BucketName>acme-out</BucketName></Error>", &BUCKET_IN_TEXT, Some("acme-out")),
            ("404 No such object: acme-out/2026/a.csv", &KEY_IN_TEXT, Some("2026/a.csv")),
            ("404 No such object: acme-out/2026/a.csv", &BUCKET_IN_TEXT, Some("acme-out")),
            ("cannot read s3://acme-out/2026/a.csv", &KEY_IN_TEXT, Some("2026/a.csv")),
            ("The specified blob does not exist.\nRequestId:1\nErrorCode:BlobNotFound", &CODE_IN_TEXT, Some("BlobNotFound")),
            ("Bucket \"acme-out\" not found", &BUCKET_IN_TEXT, Some("acme-out")),
            ("nothing to see", &KEY_IN_TEXT, None),
        ] {
            assert_eq!(capture(expression, text).map(bare), expected, "{text}");
        }
        assert!(is_of_store(s3) && !is_of_store("the key was lost"));
    }
}
