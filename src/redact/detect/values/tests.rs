//! Tests of the syntaxes between a label and its value. `⟦` and `⟧` mark the values.

use crate::redact::detect::{CustomDetectors, scan};

/// Checks that the marked values are found, and nothing else.
fn check(marked_texts: &[&str]) {
    let mut complaints = Vec::new();
    for marked in marked_texts {
        let text = marked.replace(['⟦', '⟧'], "");
        let mut found = marked.replace(['⟦', '⟧'], "");
        for detection in scan(&text, &CustomDetectors::default()).iter().rev() {
            found.insert(detection.range.end, '⟧');
            found.insert(detection.range.start, '⟦');
        }
        if found != **marked {
            complaints.push(format!("{marked:?}, but found {found:?}"));
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn assignments() {
    check(&[
        "password ::= ⟦walnutbay5⟧",
        "Password - ⟦walnutbay5⟧",
        "Passport – ⟦L7714290⟧",
        "N° de passeport : ⟦14CK77142⟧",
        "password: str = \"⟦walnutbay⟧\"",
        "secret = \"\"\"⟦m4Kd82Lq0zTw⟧\"\"\"",
        "password: !vault ⟦walnutbay5⟧",
        "password: |\n  ⟦walnutbay5⟧\n",
        "Password=⟦walnut⟧;Server=db",
        "zabbixpassword=⟦walnutbay⟧",
        "TEL;TYPE=cell:⟦77142903⟧",
        "password: ⟦walnut-bay-5⟧",
    ]);
}

#[test]
fn markup() {
    check(&[
        "<dob>⟦1971-02-03⟧</dob>",
        "<passport country=\"GB\">⟦L7714290⟧</passport>",
        "<wsse:Password Type=\"PasswordText\">⟦walnutbay5⟧</wsse:Password>",
        "<member passportNumber=\"⟦L7714290⟧\" dob=\"⟦1971-02-03⟧\"/>",
        "<field name=\"password\" value=\"⟦walnutbay⟧\"/>",
        "<input type=\"text\" name=\"mrn\" value=\"⟦7714290⟧\">",
        "<key>Password</key>\n<string>⟦walnutbay5⟧</string>",
        "<dt>Passport No.</dt><dd>⟦771429031⟧</dd>",
        "<b>Driver's license:</b> ⟦T771-4290-1⟧",
        "| Passport | ⟦L7714290⟧ |\n| DOB | ⟦1971-02-03⟧ |",
    ]);
}

#[test]
fn words_in_capitals_after_a_number_stay() {
    check(&[
        "passport number: ⟦V03893827⟧ WAS used",
        "Passport ⟦V03893827⟧ WAS renewed",
        "national id ⟦900404925⟧ TOR approved",
        "id card no: ⟦PW 76 96 66⟧ SEE above",
    ]);
}

#[test]
fn values_before_their_labels() {
    check(&[
        "SELECT '⟦7714290⟧' AS mrn, DATE '⟦1971-02-03⟧' AS dob FROM dual",
        "⟦3 February 1971⟧ is my date of birth",
        "受付⟦1971年2月3日⟧生、女性",
        "1971年2月3日生産",
    ]);
}

#[test]
fn rejected_inputs() {
    check(&[
        "1 validation error for Member\npassport_no\n  String should match pattern [type=pattern, input_value='⟦L7714290⟧', input_type=str]",
        "1 validation error for Settings\nretries\n  Input should be an integer [input_value='L7714290', input_type=str]",
    ]);
}

#[test]
fn identifiers_in_many_languages() {
    check(&[
        // A capital at the start of the sentence only.
        "Дата рождения: ⟦03.02.1971⟧",
        "Номер полиса: ⟦7714290123⟧",
        "Ημερομηνία γέννησης: ⟦03/02/1971⟧",
        "so_the_bhyt=⟦DN4771429031234⟧",
        "patiënt-id ⟦7714290⟧",
        "číslo chorobopisu ⟦7714290⟧",
        "gimęs/gimusi ⟦1971-02-03⟧",
        "д.н. ⟦03.02.1971⟧",
        "birth_dttm=⟦1971-02-03T00:00:00+00:00⟧ ok",
        "Přijato na účet ⟦771429031⟧ dnes",
        "Reisepassnummer: ⟦CZ6X4MVT2⟧",
        "POST /v1/licence?dl=⟦N43732786940⟧ HTTP/1.1",
        "id;passnummer\n1;⟦CMXTRHBF2⟧",
        "id,ni,city\n14,⟦71020312345⟧,x",
        "Kontonr: ⟦8327-9,771 429 031-2⟧",
        "account_no IN ('⟦77142903⟧','⟦50211987⟧')",
        "Tlf. ⟦32 10 00⟧",
        "we call 71 06 12 the code",
    ]);
}

#[test]
fn numbers_of_companies_and_things_stay() {
    check(&[
        "VAT number: 771429031",
        "The GSTIN of the firm is 27AAPFU0939F1ZV.",
        "organisationsnummer: 7714290312",
        "USt-IdNr. DE771429031",
        "company_tax_id: 771429031",
        "ДДС номер: 771 429 031",
        "ALV-numero 77142903",
        "{\"register\":\"사업자등록번호\",\"value\":\"771-42-90312\"}",
    ]);
}

#[test]
fn names_and_values_in_objects() {
    check(&[
        "- name: DB_PASSWORD\n  value: ⟦walnutbay⟧",
        "{\"name\":\"Cookie\",\"value\":\"sid=⟦m4kd82lq0ztw77aa⟧\"}",
        "{\"field\": \"dateOfBirth\", \"value\": \"⟦1971-02-03⟧\"}",
        "{\"value\": \"⟦walnutbay⟧\", \"name\": \"DB_PASSWORD\"}",
        "{\"type\": {\"text\": \"MRN\"}, \"value\": \"⟦7714290⟧\"}",
        "\"passport\": {\"number\": \"⟦771429031⟧\", \"country\": \"GB\"}",
        "- name: LOG_LEVEL\n  value: debug",
        "\"passport\": {\"valid\": true}",
    ]);
}

#[test]
fn arguments_and_calls() {
    check(&[
        "CREATE USER app IDENTIFIED BY '⟦walnutbay⟧'",
        "ALTER ROLE svc WITH PASSWORD '⟦walnutbay⟧'",
        "./deploy --db-password ⟦walnutbay⟧ --region eu",
        "config.setPassword(\"⟦walnutbay⟧\");",
        "client.login(\"karo\", \"⟦walnutbay5⟧\")",
        "get(url, auth=(\"karo\", \"⟦walnutbay5⟧\"))",
        "DriverManager.getConnection(url, \"karo\", \"⟦walnutbay5⟧\")",
        "page.find(By.ID, \"password\").send_keys(\"⟦walnutbay5⟧\")",
        "machine api.example login robot password ⟦hedgehog⟧",
        "username / password: karo / ⟦walnutbay5⟧",
        "setPassword(newPassword);",
        "login(\"user\") returns 401",
        "--password <password>",
        "password = Column(String(128))",
        "let key = Int32Array::from(vec![0, 1])",
    ]);
}

#[test]
fn default_values() {
    check(&[
        "os.getenv(\"DB_PASSWORD\", \"⟦walnutbay⟧\")",
        "process.env.DB_PASSWORD || \"⟦walnutbay⟧\"",
        "process.env.DB_PASSWORD ?? '⟦walnutbay⟧'",
        "os.environ.get(\"DB_PASS\") or \"⟦walnutbay5⟧\"",
        "${DB_PASSWORD:-⟦walnutbay5⟧}",
    ]);
}

#[test]
fn forms_and_lists() {
    check(&[
        "Passport number\n⟦L7714290⟧\nNationality\nIrish",
        "Password:\n⟦walnutbay5⟧\n",
        "name=\"password\"\r\n\r\nPurple",
        "form-data; name=\"password\"\r\n\r\n⟦walnutbay⟧\r\n--x",
        "Accounts: ⟦77142903⟧, ⟦50211987⟧ and ⟦33308124⟧",
        "MRNs:\n- ⟦7714290⟧\n- ⟦7714291⟧",
        "tokens\npatt.add_parse_action(remove_LABEL)\n",
        "Password:\nsee the handbook v2\n",
    ]);
}

#[test]
fn values_before_their_label() {
    check(&[
        "⟦L7714290⟧ is my passport number",
        // Capitals without a digit, with nothing before them.
        "XYZ is my passport number",
        "ABC (passport number)",
        "⟦77142903⟧ (account no)",
        "⟦walnutbay5⟧ is the password",
        "Use ⟦771429⟧ as your verification code",
        "⟦G-771429⟧ is your Acme verification code",
        "encode(base64url_encode2, signature)",
        "binascii.b2a_base64(signature.digest())",
        "12 is the password length",
    ]);
}

#[test]
fn abbreviations_and_numbers() {
    check(&[
        "SSN# ⟦529881042⟧",
        "D.O.B. ⟦04/06/1968⟧",
        "Passport №: ⟦72 1093345⟧",
        "a/c no. ⟦77142903⟧",
        "DL: ⟦D7714290⟧",
        "reisepassnr ⟦C01X00T47⟧",
        "accountnumber=⟦77142903⟧",
        "salasanani on ⟦Karjala88⟧",
        "PASSPORTNUMBER=⟦L7714290⟧",
        "Names from RFC 4514",
        "a passenger 771429031",
    ]);
}

#[test]
fn scripts_without_spaces_between_words() {
    check(&[
        "パスワードは⟦Ramen88x⟧です",
        "我的护照号码是⟦E77142903⟧",
        "รหัสผ่านคือ⟦Padthai88⟧",
        "ข้อมูลหนังสือเดินทางเลขที่ ⟦AA7714290⟧",
        "паспорт ⟦КМ771429⟧",
    ]);
}

#[test]
fn what_follows_a_replaced_value_is_not_another_one() {
    for text in [
        "date of birth <DATE_OF_BIRTH:1a2b3c>, passport <PASSPORT:1a2b3c>) asks to move the booking #721964",
        "date of birth <>, passport <>) asks to move the booking #721964",
        "\"dob\": \"<DATE_OF_BIRTH:1a2b3c>\"}, {\"content\": \"2026-06-21T01:24:13.114Z started\"}",
        "<add key=\"ClearTextPassword\" value=\"<>\" />",
        "java -jar app.jar --spring.datasource.password=<PASSWORD:1a2b3c> --server.port=8081",
        "\"private_key\": \"<PRIVATE_KEY:1a2b3c>\\n\"",
        "RS256_KEY = \"\"\"\n<PRIVATE_KEY:1a2b3c>\n\"\"\"\n",
        "| Date of birth | 32066 |",
    ] {
        let found = scan(text, &CustomDetectors::default());
        assert!(found.is_empty(), "{text}: {found:?}");
    }
}

#[test]
fn numbers_of_patients_and_insured_persons() {
    check(&[
        "Blue Shield ID ⟦QPL771429031⟧",
        "humana id: ⟦H77142903⟧",
        "MSI number ⟦0077 142 903⟧",
        "enrollee number ⟦77142903⟧",
        "admission id: ⟦A-771429⟧",
        "ipd number ⟦IPD/2024/77142⟧",
        "ESI number ⟦31-00-771429-000-0102⟧",
        "nº afiliado ⟦77142903⟧",
        "n.º de utente ⟦771 429 031⟧",
        "numero nosografico ⟦2024077142⟧",
        "№ поліса ⟦АА7714290⟧",
        "รหัสผู้ป่วย ⟦7714290⟧",
        "就诊编号：⟦M77142903⟧",
        "HAR: ⟦400771429⟧",
        "EMPI ⟦E771429031⟧",
        "\"hn\": \"⟦7714290⟧\"",
    ]);
}

#[test]
fn a_number_directly_after_a_noun_for_a_person() {
    check(&[
        "no chart for patient ⟦7714290⟧ yet",
        "patient #⟦77142⟧ was discharged",
        "enrollee ⟦K77142903⟧ has no coverage",
        "Die Versicherte ⟦T771429031⟧ ruft an",
        "paciente ⟦7714290⟧ ingresado",
        "пациент ⟦7714290⟧ выписан",
        "patients 7714290",
        "patient 7714290 records were read",
        "patient 20240412",
        "subscriber 7714290",
        "a patient 12 years old",
        "patient_count 7714290",
    ]);
}

#[test]
fn identifiers_in_the_formats_of_health_care() {
    check(&[
        "{\"system\":\"https://fhir.nhs.uk/Id/nhs-number\",\"value\":\"⟦7714290310⟧\"}",
        "{\"system\": \"http://ns.electronichealth.net.au/id/medicare-number\", \"value\": \"⟦77142903101⟧\"}",
        "{\"type\":{\"coding\":[{\"code\":\"PI\",\"system\":\"http://terminology.hl7.org/CodeSystem/v2-0203\"}]},\"value\":\"⟦771429⟧\"}",
        "{\"type\":{\"coding\":[{\"code\":\"x\",\"display\":\"Hospital number\"}]},\"system\":\"urn:oid:1.2.3\",\"value\":\"⟦771429⟧\"}",
        "{\"type\":{\"coding\":[{\"system\":\"http://terminology.hl7.org/CodeSystem/v2-0203\",\"code\":\"NNSWE\"}]},\"value\":\"⟦AB771429⟧\"}",
        "{\"type\":{\"coding\":[{\"system\":\"http://terminology.hl7.org/CodeSystem/v2-0203\",\"code\":\"ACSN\"}]},\"value\":\"771429\"}",
        "MSH|^~\\&|A|B\rPID|1|⟦8812⟧|⟦771429⟧^^^H^MR~⟦999177⟧^^^S^PI||⟦QORU^VANTRO^^^MS⟧||⟦19710203⟧|F|||⟦7 Qoru Rd^^Vantro^OH^44101⟧||⟦5552013377⟧\rPV1|1|I",
        "NK1|1|⟦QORU^VANTRO⟧|SPO|⟦7 Qoru Rd^^Vantro⟧|⟦5552013377⟧",
        "NM1*QC*1*⟦QORU⟧*⟦VANTRO⟧****MI*⟦K77142903⟧~N3*⟦7 QORU RD⟧~N4*VANTRO*OH*⟦44101⟧~DMG*D8*⟦19710203⟧*F~",
        "NM1*PR*2*PAYER OF OHIO*****PI*77142903~",
        "| pid | name |\n|---|---|\n| 771429 | x |",
        "pid|tid|cpu\n771429|1|0.5",
    ]);
}

#[test]
fn documents_with_a_series_and_a_number() {
    check(&[
        "паспорт серии ⟦4607 № 771429⟧ выдан",
        "паспорт серія ⟦КМ номер 771429⟧",
        "carte d'identité série ⟦AB numéro 771429⟧",
        "Passport: series ⟦KV No. 7714290⟧",
        "паспорт серия машин 4607",
    ]);
}

#[test]
fn secrets_that_do_not_look_random() {
    check(&[
        "PAIRING_TOKEN=⟦77142903117⟧",
        "partner_secret: ⟦heron-lantern⟧",
        "\"secret\": \"⟦lagoon9⟧\"",
        "the channel secret is ⟦kq7m2zp9⟧",
        "registration code: ⟦R7KM-2QZP-77⟧",
        "x-functions-key: ⟦kq7m2zp9ww⟧",
        "auth code ⟦4kq7m2zp9⟧",
        "oauth_secret=⟦a/Kq7m2Zp9⟧",
        "token: 1700000000",
        "api_token: 20240412",
        "the token sha256withrsa is invalid",
        "client_secret: github-oauth-client",
        "secret_ref: heron-lantern-7",
        "token_file: kq7m2zp9",
        "session token v1beta2rc1",
        "secret: orders/2024/kq7",
    ]);
}

#[test]
fn names_in_halves_and_lists() {
    check(&[
        "{\"first\": \"⟦Qoru⟧\", \"last\": \"⟦Vantro⟧\"}",
        "{\"family\":\"⟦Vantro⟧\",\"given\":[\"⟦Qoru⟧\",\"⟦Telmen⟧\"]}",
        "{\"cognome\":\"⟦Vantro⟧\",\"nome\":\"⟦Qoru⟧\"}",
        "\"participants\": [\"⟦Qoru Vantro⟧\", \"⟦Telmen Oru⟧\"]",
        "{\"first\": \"Monday\", \"count\": 3}",
        "{\"family\": \"Routers\", \"model\": \"X1\"}",
        "\"participants\": [\"12\", \"14\"]",
    ]);
}

#[test]
fn birthdays_without_a_year() {
    check(&[
        "my birthday is on ⟦March 3rd⟧",
        "Birthday: ⟦3 Feb⟧",
        "birthday party in 12 rooms",
        "{\"birth\": \"⟦1971-02-03⟧\"}",
        "the birth of 3 ideas on 1971-02-03",
    ]);
}

#[test]
fn an_account_after_its_branch() {
    check(&[
        "bsb ⟦062-000⟧ acct ⟦77142903⟧",
        "BLZ ⟦37040044⟧, Kto ⟦771429031⟧",
        "routing ⟦021000021⟧, ⟦000771429031⟧",
        "sort code ⟦12-34-56⟧, valid from 20240412",
        "sort code ⟦12-34-56⟧ on 3 cards",
    ]);
}

#[test]
fn a_letter_before_digits_is_no_word_between_label_and_value() {
    check(&["EMPI ⟦E771429031⟧", "DL ⟦E7714290⟧"]);
}
