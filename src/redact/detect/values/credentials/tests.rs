use super::super::super::{CustomDetectors, scan};

#[test]
fn passwords_of_every_kind_beside_a_label() {
    for (text, password) in [
        ("password: 48213377", "48213377"),
        ("password = correcthorse\nhost = db", "correcthorse"),
        ("pwd=P@$$:\"w0rd", "P@$$:\"w0rd"),
        ("passwd: $up3rS3cret!", "$up3rS3cret!"),
        ("the password is 48213377", "48213377"),
        ("db_password: walnutharbor, db_user: svc", "walnutharbor"),
        ("password: example-Kx7!qpz2Wm", "example-Kx7!qpz2Wm"),
        ("password: walnut-harbor-lane-copper", "walnut-harbor-lane-copper"),
        ("das Passwort lautet walnut-harbor-lane-copper (Benutzer: svc)", "walnut-harbor-lane-copper"),
        ("パスワードは walnut-harbor-lane-copper です。", "walnut-harbor-lane-copper"),
        ("kata sandinya Harb0r!Lane ya", "Harb0r!Lane"),
        ("password = 'q{{w}a)z${x]sed(crf>-_$#vtg}}'", "q{{w}a)z${x]sed(crf>-_$#vtg}}"),
        ("passwd := q{{w}a)z${x]sed(crf>-_$#vtg}},", "q{{w}a)z${x]sed(crf>-_$#vtg}}"),
        ("passwd := @\"q{{w}a)z${x]sed(crf>-_$#vtg}}\";", "q{{w}a)z${x]sed(crf>-_$#vtg}}"),
        ("std::env::var(\"DB_PASSWORD\").unwrap_or_else(|_| \"Harb0r!Lane\".into())", "Harb0r!Lane"),
        ("ENV.fetch('DB_PASSWORD') { 'Harb0r!Lane' }", "Harb0r!Lane"),
        ("System.getenv(\"DB_PASSWORD\").orElse(\"Harb0r!Lane\")", "Harb0r!Lane"),
        ("if (\"Harb0r!Lane\" == password) {", "Harb0r!Lane"),
        ("if (user.password !== 'Harb0r!Lane') {", "Harb0r!Lane"),
        ("{\"selector\": \"#login-password\", \"text\": \"Harb0r!Lane\"}", "Harb0r!Lane"),
        ("{\"css\": \"input[type=password]\", \"value\": \"Harb0r!Lane\"}", "Harb0r!Lane"),
        ("db password (staging): Harb0r!Lane", "Harb0r!Lane"),
        ("Use the following password to log in:\n\nHarb0r!Lane\n\nIt expires soon.", "Harb0r!Lane"),
        ("pass for the zip? -> Harb0r_Lane7", "Harb0r_Lane7"),
        ("getConnection(url, \"svc\", \"walnut-harbor-lane-7\")", "walnut-harbor-lane-7"),
        ("new NetworkCredential(\"svc\", \"walnut-harbor-lane-7\", \"CORP\")", "walnut-harbor-lane-7"),
        ("var appPassword string = \"Harb0r!Lane\"", "Harb0r!Lane"),
        ("echo Harb0rLane7 | sudo -S apt-get update", "Harb0rLane7"),
        ("pw for the archive? -> Harb0r_Lane7", "Harb0r_Lane7"),
        ("Login for staging: demo / Harb0r_Lane7.", "Harb0r_Lane7"),
    ] {
        let found = scan(text, &CustomDetectors::default());
        assert!(found.iter().any(|found| found.kind == "password" && found.value == password), "{text}: {found:?}");
    }
}

#[test]
fn types_code_and_texts_of_interfaces_beside_a_label_stay() {
    for text in [
        "password: str",
        "password: string;",
        "password: required",
        "\"password\": \"Passwort\"",
        "\"password\": \"Mot de passe\"",
        "\"password\": \"Enter your password\"",
        "password = form.password.data",
        "password = get_password(user)",
        "password: the password of the user",
        "password: !secret mqtt_password",
        "password must have 12 characters",
        "password expires 20261127",
        "password: SecretStr",
        "# public key: age1qz7w3k9x5v2m8t4h6n0p3r7s5u9y2a4c6e8g0",
        "password: mvnPassword",
        "password = request.form[\"password\"]",
        "New-LocalUser -Password (ConvertTo-SecureString $x)",
        "all tests pass for the module: test_login2",
        "if (\"password\" == field) {",
    ] {
        let found = scan(text, &CustomDetectors::default());
        assert!(found.is_empty(), "{text}: {found:?}");
    }
}
