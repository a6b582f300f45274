use super::*;

#[test]
fn placeholders_of_every_family() {
    for value in [
        "${TOKEN}",
        "db-${TOKEN:-none}-x",
        "${{ secrets['X'] }}",
        "$TOKEN",
        "$(cat key)",
        "${{ secrets.X }}",
        "{{ token }}",
        "<token>",
        "%TOKEN%",
        "********",
        "xxxxxxxx",
        "sk-...",
        "prefix-${TOKEN}",
        "arn:aws:secretsmanager:eu-west-1:111122223333:secret:db",
        "vault:secret/data/app#key",
        "op://vault/item/field",
        "ENC[AES256_GCM,data:…]",
        "YOUR_API_KEY",
        "my-example-api-key",
        "test_key",
        "fake-token-123",
        "this-is-a-dummy-secret",
        "placeholder",
        "var.db_password",
        "@Microsoft.KeyVault(SecretUri=…)",
        "import.meta.env.VITE_KEY",
    ] {
        assert!(is_placeholder(value), "{value}");
    }
    for value in [
        "hunter2xyz",
        "correcthorse",
        "example-Kx7!qpz2Wm",
        "testKx7qpz2WmT",
        "P@$$:w0rd",
        "AAAAB3NzaC1yc2E",
        "yellow.Harbor-61",
        "q{{w}a)z${x]sed(crf>-_$#vtg}}",
    ] {
        assert!(!is_placeholder(value), "{value}");
    }
}

#[test]
fn assigned_passwords_of_digits_letters_or_symbols() {
    for value in ["48213377", "907155", "1029384756"] {
        assert!(is_digit_password(value), "{value}");
    }
    for value in ["20261127", "19991231", "12345", "48213377a"] {
        assert!(!is_digit_password(value), "{value}");
    }
    for value in ["walnutharbor", "correcthorse"] {
        assert!(is_letter_password(value), "{value}");
    }
    for value in ["required", "string", "userpassword", "dbcredential", "walnut", "walnutHarbor"] {
        assert!(!is_letter_password(value), "{value}");
    }
    for value in ["$up3rS3cret!", "(Kx7}qpz2{", "P@$$:\"w0rd", "#9!Harbor%2"] {
        assert!(is_symbolic_password(value), "{value}");
    }
    for value in ["$PASSWORD", "get_password(4)", "#reset-password", "self.f[0]", "std::env::var(\"P1\")", "path/to/$1!"] {
        assert!(!is_symbolic_password(value), "{value}");
    }
}

#[test]
fn secrets_of_symbols_words_or_digits() {
    for value in ["q{{w}a)z${x]sed(crf>-_$#vtg}}", "ab]c(de$f#gh!", "lamp*rust#wide!gold~moss?^"] {
        assert!(is_punctuated_secret(value), "{value}");
    }
    for value in ["$this->get($x['password'])", "hmac.new(key.encode(),", "a-b_c.d:e/f", "${PASSWORD:?must be set}", "r'^[a-z]{3,}$'"] {
        assert!(!is_punctuated_secret(value), "{value}");
    }
    for value in ["walnut-harbor-lane-copper", "Walnut.Harbor.Lane.Copper.Moss"] {
        assert!(is_passphrase(value), "{value}");
    }
    for value in ["copy-and-paste", "a-b-c-d-e", "docs.internals.of.it", "walnut-harbor-lane-2"] {
        assert!(!is_passphrase(value), "{value}");
    }
    assert!(is_long_number("50712834910573829104857261930485"));
    assert!(!is_long_number("00000000000000000000000000000000") && !is_long_number("1764230400123"));
}

#[test]
fn masks_and_samples_of_known_formats() {
    for value in [
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "AKIAXXXXXXXXXXXXXXXX",
        "AKIAIOSFODNN7EXAMPLE",
        "sk-your-api-key-here",
        "glpat-****************",
        "npm_000000000000000000000000000000000000",
        "xoxb-your-token-here",
    ] {
        assert!(is_sample(value), "{value}");
    }
    for value in ["ghp_q2GzWVPworJzUMbvwDW8I8m6dpGwYjpcv9J6", "AAAAAAAAAAAAAAAAAAAAAMLheAAAAAAA0B7qd", "sk_test_q2gwvpjumdw8i86gy9j64luz"] {
        assert!(!is_sample(value), "{value}");
    }
}
