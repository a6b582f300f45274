"""Names of identity numbers and of company numbers: which module of python-stdnum checks them, what people call them.

All names were collected for this evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass

# Module, kind, language, local names, English name, names of fields; D: the number may also belong to a company.
PERSONAL = """
ar.cuit|national_id|es|CUIL;CUIT|Argentine tax ID (CUIL)|cuil,cuit|
ar.cbu|bank_account|es|CBU;Clave Bancaria Uniforme|bank account number (CBU)|cbu,cuenta_cbu|
ar.dni|national_id|es|DNI;documento nacional de identidad|DNI number|dni,nro_documento|
at.tin|national_id|de|Abgabenkontonummer;Steuernummer|Austrian tax number|steuernummer,abgabenkonto|D
at.vnr|national_id|de|Sozialversicherungsnummer;SVNR|social security number|svnr,sozialversicherungsnr|
au.tfn|national_id|en|Tax File Number;TFN|Tax File Number|tfn,tax_file_number|
be.bis|national_id|nl|BIS-nummer;rijksregisternummer|BIS number|bis_nummer,insz|
be.eid|national_id|nl|identiteitskaartnummer;eID-nummer|identity card number|eid_nr,identiteitskaart|
be.nn|national_id|fr|numéro de registre national;NISS|national number|niss,registre_national|
be.ssn|national_id|nl|INSZ;rijksregisternummer|social security number|insz,rrn|
be.iban|iban|nl|IBAN;rekeningnummer|IBAN|iban,rekening|
bg.egn|national_id|bg|ЕГН;единен граждански номер|personal number (EGN)|egn,egn_no|
bg.pnf|national_id|bg|ЛНЧ;личен номер на чужденец|foreigner's personal number|lnch,pnf|
br.cpf|national_id|pt|CPF;cadastro de pessoa física|CPF number|cpf,nr_cpf|
ca.bc_phn|medical_id|en|PHN;Personal Health Number|BC Personal Health Number|phn,health_number|
ca.sin|national_id|en|SIN;Social Insurance Number|Social Insurance Number|sin,social_insurance_no|
ch.ssn|national_id|de|AHV-Nummer;Sozialversicherungsnummer|Swiss social security number|ahv_nr,avs|
cl.rut|national_id|es|RUT;RUN|RUT|rut,run|
cn.ric|national_id|zh|身份证号码;居民身份证号|resident identity card number|id_card,sfz|
co.nit|national_id|es|NIT;número de identificación tributaria|Colombian tax ID|nit,nit_cliente|D
cr.cpf|national_id|es|cédula;cédula de identidad|Costa Rican ID number|cedula,cedula_fisica|
cr.cr|national_id|es|cédula de residencia;DIMEX|residence ID number|dimex,cedula_residencia|
cu.ni|national_id|es|número de identidad;carné de identidad|Cuban identity number|carne_identidad,ni|
cz.rc|national_id|cs|rodné číslo;RČ|birth number|rodne_cislo,rc|
cz.bankaccount|bank_account|cs|číslo účtu;bankovní účet|bank account number|cislo_uctu,ucet|
de.idnr|national_id|de|Steuer-ID;steuerliche Identifikationsnummer|German tax ID|steuer_id,idnr|
de.stnr|national_id|de|Steuernummer;St.-Nr.|German tax number|steuernummer,stnr|D
dk.cpr|national_id|da|CPR-nummer;personnummer|CPR number|cpr,cpr_nr|
do.cedula|national_id|es|cédula;cédula de identidad|Dominican cedula number|cedula,no_cedula|
ec.ci|national_id|es|cédula de identidad;CI|identity card number|cedula,ci|
ee.ik|national_id|et|isikukood;IK|Estonian personal code|isikukood,ik|
es.dni|national_id|es|DNI;documento nacional de identidad|DNI number|dni,num_dni|
es.nie|national_id|es|NIE;número de identidad de extranjero|NIE number|nie,num_nie|
es.ccc|bank_account|es|cuenta corriente;CCC|bank account number|ccc,cuenta_corriente|
es.iban|iban|es|IBAN;cuenta bancaria|IBAN|iban,cuenta|
fi.hetu|national_id|fi|henkilötunnus;HETU|Finnish personal identity code|hetu,henkilotunnus|
fi.veronumero|national_id|fi|veronumero;henkilön veronumero|individual tax number|veronumero,tax_no|
fr.nif|national_id|fr|numéro fiscal;numéro fiscal de référence|French tax number (SPI)|nif,numero_fiscal|
fr.nir|national_id|fr|numéro de sécurité sociale;NIR|French social security number|nir,num_secu|
gb.nhs|medical_id|en|NHS number;NHS No|NHS number|nhs_number,nhs_no|
gb.upn|national_id|en|UPN;Unique Pupil Number|Unique Pupil Number|upn,pupil_number|D
gb.utr|national_id|en|UTR;Unique Taxpayer Reference|Unique Taxpayer Reference|utr,taxpayer_ref|
gr.amka|national_id|el|ΑΜΚΑ;αριθμός μητρώου κοινωνικής ασφάλισης|AMKA (social security number)|amka,ama|
gr.vat|national_id|el|ΑΦΜ;αριθμός φορολογικού μητρώου|Greek tax number (AFM)|afm,tax_id|D
gt.nit|national_id|es|NIT;número de identificación tributaria|Guatemalan tax ID|nit,nit_contribuyente|D
hr.oib|national_id|hr|OIB;osobni identifikacijski broj|OIB (personal identification number)|oib,oib_osobe|
id.nik|national_id|id|NIK;nomor induk kependudukan|NIK (identity number)|nik,no_ktp|
id.npwp|national_id|id|NPWP;nomor pokok wajib pajak|NPWP (tax number)|npwp,no_npwp|D
ie.pps|national_id|en|PPS number;PPSN|PPS number|ppsn,pps_number|
il.idnr|national_id|he|תעודת זהות;מספר זהות|Israeli ID number|teudat_zehut,id_number|
in_.aadhaar|national_id|hi|आधार संख्या;आधार नंबर|Aadhaar number|aadhaar,aadhaar_no|
in_.epic|national_id|hi|मतदाता पहचान पत्र संख्या;EPIC|voter ID number|voter_id,epic_no|
in_.pan|national_id|en|PAN;PAN card number|Permanent Account Number|pan,pan_no|
in_.vid|national_id|en|Aadhaar VID;virtual ID|Aadhaar virtual ID|aadhaar_vid,vid|
is_.kennitala|national_id|is|kennitala;kt.|Icelandic ID number (kennitala)|kennitala,kt|
it.codicefiscale|national_id|it|codice fiscale;C.F.|Italian fiscal code|codice_fiscale,cf|
jp.in_|national_id|ja|マイナンバー;個人番号|My Number (individual number)|my_number,kojin_bango|
ke.pin|national_id|en|KRA PIN;KRA PIN number|KRA PIN|kra_pin,tax_pin|
kr.rrn|national_id|ko|주민등록번호;주민번호|resident registration number|rrn,jumin_no|
li.peid|national_id|de|PEID;Steuernummer|Liechtenstein tax number (PEID)|peid,steuernummer|D
lt.asmens|national_id|lt|asmens kodas;a.k.|Lithuanian personal code|asmens_kodas,ak|
lv.pvn|national_id|lv|personas kods;p.k.|Latvian personal code|personas_kods,pk|
mu.nid|national_id|en|NID number;National ID|Mauritian national ID|nid,national_id|
mx.curp|national_id|es|CURP;clave única de registro de población|CURP|curp,curp_alumno|
mx.rfc|national_id|es|RFC;registro federal de contribuyentes|RFC|rfc,rfc_receptor|
my.nric|national_id|ms|MyKad;no. kad pengenalan|NRIC number|nric,no_kp|
nl.bsn|national_id|nl|BSN;burgerservicenummer|BSN|bsn,burgerservicenummer|
nl.identiteitskaartnummer|passport|nl|paspoortnummer;documentnummer paspoort|passport number|paspoortnummer,passport_no|
nl.onderwijsnummer|national_id|nl|onderwijsnummer;persoonsgebonden nummer|student number|onderwijsnummer,pgn|
no.fodselsnummer|national_id|no|fødselsnummer;personnummer|Norwegian national ID|fodselsnummer,fnr|
no.kontonr|bank_account|no|kontonummer;bankkonto|bank account number|kontonummer,konto|
no.iban|iban|no|IBAN;kontonummer|IBAN|iban,konto|
nz.ird|national_id|en|IRD number;IRD|IRD number|ird,ird_number|
nz.bankaccount|bank_account|en|account number;bank account|NZ bank account number|bank_account,account_no|
pe.cui|national_id|es|DNI;CUI|Peruvian DNI|dni,cui|
pk.cnic|national_id|ur|شناختی کارڈ نمبر;قومی شناختی کارڈ|CNIC|cnic,cnic_no|
pl.pesel|national_id|pl|PESEL;numer PESEL|PESEL|pesel,nr_pesel|
pt.cc|national_id|pt|Cartão de Cidadão;número do cartão de cidadão|citizen card number|cartao_cidadao,cc_num|
ro.cnp|national_id|ro|CNP;cod numeric personal|CNP|cnp,cod_cnp|
ru.inn|national_id|ru|ИНН;идентификационный номер налогоплательщика|Russian taxpayer number (INN)|inn,inn_fl|
se.personnummer|national_id|sv|personnummer;pnr|Swedish personal number|personnummer,pnr|
si.emso|national_id|sl|EMŠO;enotna matična številka občana|EMŠO|emso,emso_obcana|
sk.rc|national_id|sk|rodné číslo;r.č.|birth number|rodne_cislo,rc|
sv.nit|national_id|es|NIT;número de identificación tributaria|Salvadoran tax ID|nit,nit_contribuyente|D
th.pin|national_id|th|เลขประจำตัวประชาชน;เลขบัตรประชาชน|Thai ID number|citizen_id,thai_id|
tr.tckimlik|national_id|tr|T.C. Kimlik No;TCKN|Turkish ID number|tckn,tc_kimlik_no|
tr.vkn|national_id|tr|vergi kimlik numarası;VKN|Turkish tax number|vkn,vergi_no|D
ua.rntrc|national_id|uk|РНОКПП;ідентифікаційний код|Ukrainian taxpayer number|rnokpp,ipn|
us.ssn|ssn|en|SSN;Social Security number|Social Security number|ssn,social_security_no|
us.itin|ssn|en|ITIN;Individual Taxpayer Identification Number|ITIN|itin,taxpayer_id|
us.atin|ssn|en|ATIN;Adoption Taxpayer ID|ATIN|atin,adoption_tin|
us.ptin|national_id|en|PTIN;Preparer Tax Identification Number|PTIN|ptin,preparer_tin|D
us.rtn|bank_account|en|routing number;ABA routing number|routing number|routing_number,aba|
ve.rif|national_id|es|RIF;registro de información fiscal|RIF|rif,rif_cliente|
za.idnr|national_id|en|SA ID number;RSA ID|South African ID number|id_number,sa_id|
za.tin|national_id|en|SARS tax reference number;income tax number|SARS tax number|tax_ref,sars_no|
iban|iban|en|IBAN;account|IBAN|iban,account_iban|
mac|mac|en|MAC address;MAC|MAC address|mac,hw_addr|
bitcoin|crypto_wallet|en|bitcoin address;BTC wallet|bitcoin address|btc_address,wallet|
"""

# Numbers of companies and products, by module; nothing of them is personal.
COMPANY: dict[str, str] = {
    "at.uid": "UID",
    "au.abn": "ABN",
    "au.acn": "ACN",
    "be.vat": "ondernemingsnummer",
    "bg.vat": "ДДС номер",
    "br.cnpj": "CNPJ",
    "ca.bn": "Business Number",
    "ch.uid": "UID",
    "ch.vat": "MWST-Nr.",
    "cz.ico": "IČO",
    "de.vat": "USt-IdNr.",
    "de.handelsregisternummer": "Handelsregister",
    "de.leitweg": "Leitweg-ID",
    "de.wkn": "WKN",
    "dk.cvr": "CVR",
    "do.rnc": "RNC",
    "do.ncf": "NCF",
    "ee.kmkr": "KMKR",
    "ee.registrikood": "registrikood",
    "es.cif": "CIF",
    "eu.eic": "EIC",
    "fi.alv": "ALV-numero",
    "fi.ytunnus": "Y-tunnus",
    "fr.siren": "SIREN",
    "fr.siret": "SIRET",
    "fr.tva": "n° TVA",
    "gb.vat": "VAT no",
    "gb.sedol": "SEDOL",
    "hu.anum": "adószám",
    "il.hp": "ח.פ.",
    "in_.gstin": "GSTIN",
    "it.iva": "partita IVA",
    "it.aic": "codice AIC",
    "jp.cn": "法人番号",
    "kr.brn": "사업자등록번호",
    "lt.pvm": "PVM kodas",
    "lu.tva": "TVA",
    "mt.vat": "VAT number",
    "no.mva": "MVA",
    "no.orgnr": "organisasjonsnummer",
    "om.vat": "VAT number",
    "pl.regon": "REGON",
    "ro.cui": "CUI",
    "rs.pib": "PIB",
    "ru.ogrn": "ОГРН",
    "se.orgnr": "organisationsnummer",
    "se.vat": "momsregistreringsnummer",
    "sg.uen": "UEN",
    "si.ddv": "ID za DDV",
    "sk.ico": "IČO",
    "sk.dph": "IČ DPH",
    "th.moa": "company registration",
    "tw.ubn": "統一編號",
    "us.ein": "EIN",
    "cn.uscc": "统一社会信用代码",
    "isbn": "ISBN",
    "issn": "ISSN",
    "ean": "EAN",
    "isin": "ISIN",
    "lei": "LEI",
    "cusip": "CUSIP",
    "figi": "FIGI",
    "bic": "BIC",
    "isan": "ISAN",
    "ismn": "ISMN",
    "iso6346": "container",
    "isrc": "ISRC",
    "casrn": "CAS number",
    "cfi": "CFI code",
    "grid": "GRid",
    "imo": "IMO number",
    "iso11649": "creditor reference",
    "upi": "UPI",
    "isil": "ISIL",
    "eu.nace": "NACE",
    "uy.rut": "RUT de la empresa",
    "pe.ruc": "RUC de la empresa",
    "ec.ruc": "RUC de la compañía",
    "tn.mf": "matricule fiscal de la société",
    "ma.ice": "ICE",
}


@dataclass(frozen=True)
class Number:
    module: str
    kind: str
    language: str
    local_names: list[str]
    english_name: str
    keys: list[str]
    doubtful: bool


def personal_numbers() -> list[Number]:
    numbers = []
    for line in PERSONAL.strip().split("\n"):
        module, kind, language, local, english, keys, doubtful = line.split("|")
        numbers.append(Number(module, kind, language, local.split(";"), english, keys.split(","), bool(doubtful)))
    return numbers
