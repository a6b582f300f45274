"""Builds the table of error codes from the hand-written tables below codes/ and from machine-readable sources.

    python3 harvest_codes.py CACHE OUT

CACHE holds what was downloaded (see README): the wheel of botocore, the npm packages mysql2, stripe and chromium-net-errors, the
`errcodes.txt` of PostgreSQL and the run-time's list of Node codes. A source that is missing is skipped with a note. Hand-written rows win over
derived ones of the same origin.
"""

import collections
import gzip
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import zipfile

import codes_table
import derive

# Services whose modelled errors are read. Bedrock's are always written per service, the others are folded where they agree.
AWS_SERVICES = """bedrock bedrock-runtime bedrock-agent-runtime bedrock-agent bedrock-agentcore bedrock-agentcore-control
bedrock-data-automation-runtime sagemaker-runtime sagemaker s3 dynamodb lambda sqs sns secretsmanager kms sts iam athena glue textract comprehend
transcribe polly kendra translate rekognition opensearch opensearchserverless logs cloudwatch rds rds-data redshift-data stepfunctions events
ecs ecr eks ssm sesv2 ses cognito-idp cognito-identity kinesis firehose qbusiness lexv2-runtime personalize-runtime timestream-query neptunedata
neptune-graph s3vectors sso sso-oidc codebuild apigateway location""".split()
AWS_PER_SERVICE = ("bedrock", "bedrock-runtime", "bedrock-agent-runtime", "sagemaker-runtime")

# What the words of an AWS name say where the general derivation cannot know it; the first match counts.
AWS_RULES = [
    # Values of a request: types, versions, languages and formats that a service does not take. Features and operations come below.
    (r"^Unsupported(?!Operation(?:Exception)?$|Protocol|Feature|Result|UserState)\w|(?:Language|Engine|StorageType|NetworkType|MachineType|(?:For|Marks)\w*(?:Format|TextType)|ImageProperties)(?:NotSupported|NotSupportedFor)|MarksNotSupportedFor|StateMachineTypeNotSupported", "invalid_request"),
    (r"Invalid(?:Lambda)?Response(?:Exception)?$", "data_error"),
    (r"Suspended|Restricted(?:Exception)?$|RegionDisabled|FederationDisabled", "permission_denied"), (r"^Invalid(?:Security(?:Exception)?$|AuthenticationCode)", "authentication_failed"),
    (r"(?:Credential)?Report(?:Expired|Not(?:Present|Ready))", "not_found"), (r"ENINotReady|ServerShutdown|^QueryLimitExceeded", "overloaded"),
    (r"UnsupportedMediaType|ExpiredNextToken|ExpiredTradeInToken|ExpiredImportToken|IncorrectKeyMaterial|IdsNotDistinct|EmptyUpload|ExpiredIterator|LexemeLength|TooManyParts|TooManyTagKeys|IncorrectTrustAnchor|NotAttachable|NotCoverEnough|SubnetGroupNotAllowed|^UserError", "invalid_request"),
    (r"(?:Illegal|Unsupported)\w*State|InProgress(?:Exception)?$|(?:Stopping|Transitioning|Deleting)(?:Exception)?$|StatusUnchanged|Preconditions?(?:NotMet|Failed)|ConditionCheckFailure|ClusterContains|HasCMKs|ClusterNotActive|ClusterNotRelated|CannotDelete|Unmodifiable|DeletedRecently|InvalidState", "conflict"),
    (r"ConfigurationMissing", "misconfiguration"), (r"UnavailableIn(?:Tier|Region|Plan)", "unsupported"), (r"^UnauthorizedClient", "permission_denied"),
    (r"SendingPaused|NotVerified|NotManagement|OptedOut|UnableToAccess|UnableToDecrypt|KeyNotAccessible|CodeVerificationFailed|LayerInaccessible|PublicPolicy", "permission_denied"),
    (r"Active\w+Exceeded|NumberExceeded|CountExceeded|StorageExceeded|ConcurrentRunsExceeded", "quota_exhausted"), (r"TooManyFailedAttempts", "rate_limited"),
    (r"InsufficientAvailableIPs", "resource_exhausted"), (r"IDPCommunication|UnableToGetUpstream|UnableToListUpstream", "connection_failed"),
    (r"DigestDoesNotMatch|LowConfidence", "data_error"), (r"NoPublishedVersion|NoSchedule|NoUpdateAvailable", "not_found"), (r"RecursiveInvocation", "repeated_calls"),
    (r"Platform(?:Unknown|TaskDefinitionIncompat)", "invalid_request"), (r"DatabaseResuming", "overloaded"), (r"CodeDeliveryFailure|EFSIO|^SecretsError|MountFailure", "exception"),
    (r"SlotNotAvailable|(?:Alias|Version|User)Deleted", "conflict"),
    (r"ModelNotReady|ModelErrorException", "overloaded"), (r"(?:Backups|Recovery)Unavailable", "misconfiguration"), (r"ModelStreamError", "connection_failed"), (r"ModelTimeout", "timeout"),
    (r"(?:Throttl|TooManyRequests|RequestThrottled|RequestLimitExceeded|RateExceeded|Kinesis.*ThroughputExceeded|ProvisionedThroughputExceeded|SlowDown)", "rate_limited"),
    (r"^(?:Aws|AWS)?(?:ExpiredToken|InvalidClientToken|UnrecognizedClient|InvalidSignature|NotAuthorized|InvalidIdentityToken|Unauthorized(?!Operation|Access)|InvalidGrant|InvalidClient(?:Exception)?$|ExpiredCode|CodeMismatch|InvalidPassword|InvalidSecret|MissingAuthenticationToken|PasswordResetRequired|UserNotConfirmed)", "authentication_failed"),
    (r"(?:AuthorizationPending)", "control_flow"), (r"^SlowDownException$", "rate_limited"),
    (r"DryRun", "control_flow"),
    (r"(?:AccessDenied|NotPermitted|NotAuthorizedTo|Forbidden|PermissionDenied|InsufficientPermission|InsufficientPrivileges|UnauthorizedAccess|Blocked|NotGranted|PolicyEnforced|InvalidScope|InsufficientS3BucketPolicy|OptInRequired|Ec2AccessDenied)", "permission_denied"),
    (r"(?:NotFound|DoesNotExist|NotExist|NoSuch|NonExistent|Unknown(?:Resource|Snapshot)|NotDiscovered|ResourceGone|HasBeenDeleted|^Gone)", "not_found"),
    (r"(?:Already|Exists|Duplicate|Conflict|InUse|Concurrent|Modified|BeingDeleted|Locked|Lock(?:Fault|Exception)$|InvalidState|Invalid\w+State(?:Fault|Exception)?$|IncorrectState|Invalid\w*Status(?:Exception)?$|TooManyUpdates|OperationInProgress|IdempotentParameterMismatch|IdempotencyException|ConditionalCheckFailed|TransactionCanceled|TransactionInProgress|ReplayedId|VersionMismatch|TaskRunning|NotRunning|PreconditionFailed|NotEmpty|DeletionProtection|HasDependents|DependencyViolation|DeleteConflict|NotReady|NotReplicated|SnapshotRequired|RegionSwitch|OutOfSync)", "conflict"),
    (r"(?:Timeout|TimedOut|TimeLimit)", "timeout"),
    (r"(?:TextSize|DocumentTooLarge|PayloadTooLarge|TooLarge|TooLong|MaxSize|SizeLimit|RequestTooLarge|BatchRequest|TooManyEntries|EmptyBatch|TooManyTags|PolicyLength|PageCount|QueryLimit|QueryTooLarge|ParameterLimit|MessageTooLong|LexiconSize|DocumentLimit|FileSizeLimit|Memory(?:Limit|Size)\w*Policy|EntityTooLarge|LimitExceededForBody|SubDocument|PackedPolicyTooLarge|ItemCollectionSizeLimit)", "invalid_request"),
    (r"(?:Memory(?:Limit)?Exceeded|OutOfMemory|StackOverflow|OutOfDisk|InsufficientStorage|InsufficientDiskSpace)", "resource_exhausted"),
    (r"(?:Quota|Limit|TooMany|MaxNumber|MaximumExceeded|OverLimit)", "quota_exhausted"),
    (r"(?:InsufficientCapacity|InsufficientDBCluster|InsufficientDBInstanceCapacity|Insufficient\w*Capacity|ServiceUnavailable|InternalServer|InternalService|InternalFailure|InternalError|Internal(?:Exception|Fault)$|^ServerException$|^ServiceException$|DependencyFailed|DependencyFailure|BadGateway|Unavailable(?:Exception)?$|ServiceNotActive)", "overloaded"),
    (r"(?:Unsupported|NotSupported|NotAvailable|NotImplemented|FeatureNotAvailable)", "unsupported"),
    (r"(?:NotEnabled|Disabled|NotActivated|NotConfigured|NotInitialized|Misconfigured|IsNotEnabled|ConfigurationException)", "misconfiguration"),
    (r"(?:Invalid|Malformed|Missing|Validation|BadRequest|Mismatch|NotValid|Illegal|Incompatible|Bad[A-Z]|Serialization|Unprocessable|InvalidParam)", "invalid_request"),
]
AWS_RULES = [(re.compile(pattern), condition) for pattern, condition in AWS_RULES]


def note(text):
    print(text, file=sys.stderr)


def newest(cache, pattern):
    found = sorted(cache.glob(pattern))
    return found[-1] if found else None


def aws(cache):
    """Rows of the errors that the service models of botocore declare."""
    wheel = newest(cache, "pip/botocore-*.whl")
    if not wheel:
        note("no botocore: AWS services skipped")
        return []
    archive = zipfile.ZipFile(wheel)
    models = {}
    for name in sorted(archive.namelist()):
        if name.endswith("/service-2.json.gz"):
            models[name.split("/")[2]] = name  # the last one is the newest version
    said = collections.defaultdict(dict)
    for service in AWS_SERVICES:
        if service not in models:
            note(f"no service model of {service}")
            continue
        shapes = json.loads(gzip.decompress(archive.read(models[service])))["shapes"]
        for name, shape in sorted(shapes.items()):
            if not shape.get("exception"):
                continue
            error = shape.get("error", {})
            code = error.get("code", name)
            status = error.get("httpStatusCode")
            condition = next((c for pattern, c in AWS_RULES if pattern.search(name)), None)
            if condition is None:
                doc = re.sub("<[^>]+>", "", shape.get("documentation", ""))
                condition, _ = derive.derive(name, doc, None if status == 400 else status, None, "aws." + service, kind="cloud")
            if condition is None:
                condition = "overloaded" if shape.get("fault") else "exception"
            said[code][service] = (status, condition)
            if name != code and not code.startswith(name):
                said[name][service] = (status, condition)
    rows = []
    for code, services in said.items():
        meanings = collections.Counter(condition for _, condition in services.values())
        common, _ = meanings.most_common(1)[0]
        statuses = {status for status, condition in services.values() if condition == common and status}
        if len(services) > 1:
            rows.append((code, "aws", str(statuses.pop()) if len(statuses) == 1 else "", common))
        for service, (status, condition) in services.items():
            if len(services) == 1 or condition != common or service in AWS_PER_SERVICE:
                rows.append((code, f"aws:{service}", str(status or ""), condition))
    return rows


# The same for every database: a missing table, database or schema is `not_found`; a wrong column, function, operator or type in a query
# `invalid_request`; a value that cannot be converted `data_error`; `code_execution_error` is left to syntax and to procedures that fail.
POSTGRES_CLASS = {
    "08": "connection_failed", "09": "exception", "0A": "unsupported", "0B": "exception", "0F": "exception", "0L": "invalid_request",
    "0P": "authentication_failed", "0Z": "exception", "20": "code_execution_error", "21": "invalid_request", "22": "data_error",
    "23": "conflict", "24": "exception", "25": "exception", "26": "not_found", "27": "conflict", "28": "authentication_failed",
    "2B": "conflict", "2D": "exception", "2F": "code_execution_error", "34": "not_found", "38": "code_execution_error",
    "39": "code_execution_error", "3B": "exception", "3D": "not_found", "3F": "not_found", "40": "conflict", "42": "invalid_request",
    "44": "conflict", "53": "resource_exhausted", "54": "resource_exhausted", "55": "conflict", "57": "overloaded", "58": "exception",
    "72": "exception", "F0": "misconfiguration", "HV": "exception", "P0": "code_execution_error", "XX": "exception",
}  # fmt: skip
POSTGRES_FDW = [
    (r"not_found", "not_found"), (r"data_type|string_format|column_number|use_of_null|length", "data_error"), (r"invalid_(?:handle|descriptor)", "exception"),
    (r"invalid|option|attribute|too_many|column_name", "invalid_request"), (r"out_of_memory", "resource_exhausted"),
]  # fmt: skip
POSTGRES_CODE = {
    "42501": "permission_denied", "42P01": "not_found", "42704": "not_found", "42601": "code_execution_error", "42000": "code_execution_error",
    "42701": "conflict", "42P03": "conflict", "42P04": "conflict", "42723": "conflict", "42P05": "conflict", "42P06": "conflict",
    "42P07": "conflict", "42712": "conflict", "42710": "conflict", "23502": "invalid_request", "23514": "invalid_request",
    "22001": "invalid_request", "22002": "invalid_request", "22003": "invalid_request", "22004": "invalid_request", "22011": "invalid_request",
    "22013": "invalid_request", "22014": "invalid_request", "22016": "invalid_request", "22023": "invalid_request", "2201B": "invalid_request",
    "2201E": "invalid_request", "2201F": "invalid_request", "2201G": "invalid_request", "2201W": "invalid_request", "2201X": "invalid_request",
    "2202E": "invalid_request", "2202G": "invalid_request", "2202H": "invalid_request",
    "38001": "permission_denied", "38002": "permission_denied", "38003": "permission_denied", "38004": "permission_denied", "2F002": "permission_denied", "2F003": "permission_denied",
    "2F004": "permission_denied", "39004": "invalid_request", "F0001": "conflict", "22031": "invalid_request", "22033": "invalid_request", "22035": "not_found", "2203A": "not_found", "2203B": "not_found",
    "2203C": "not_found", "22012": "code_execution_error", "57014": "run_cancelled", "57P05": "timeout", "25P03": "timeout", "25P04": "timeout", "53300": "overloaded",
    "25006": "permission_denied", "28000": "authentication_failed", "28P01": "authentication_failed", "55006": "conflict", "55P02": "misconfiguration",
    "54011": "invalid_request", "54023": "invalid_request", "54000": "resource_exhausted", "54001": "resource_exhausted", "58P01": "not_found",
    "58P02": "conflict", "P0002": "not_found", "P0003": "code_execution_error", "XX001": "data_error", "XX002": "data_error",
    "57P01": "connection_failed", "57P02": "connection_failed", "57P03": "overloaded", "57P04": "not_found", "42939": "invalid_request",
    "42602": "invalid_request", "42622": "invalid_request", "40003": "connection_failed", "08P01": "connection_failed", "22P02": "data_error",
    "44000": "invalid_request", "P0001": "exception", "P0000": "exception", "HV00N": "connection_failed", "HV001": "resource_exhausted", "2200H": "resource_exhausted",
    "53400": "resource_exhausted", "3B001": "not_found", "0P000": "not_found", "55000": "conflict", "55P03": "conflict",
}  # fmt: skip


def postgres(cache):
    """SQLSTATE codes and their condition names (`undefined_table`) of PostgreSQL."""
    path = next((p for p in [cache / "errcodes.txt", *sorted(pathlib.Path("/usr/share/postgresql").glob("*/errcodes.txt"))] if p.exists()), None)
    if not path:
        note("no errcodes.txt: PostgreSQL skipped")
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        m = re.match(r"([0-9A-Z]{5})\s+([EWS])\s+(\w+)(?:\s+(\w+))?", line)
        if not m or m.group(2) != "E":
            continue
        condition = POSTGRES_CODE.get(m.group(1)) or POSTGRES_CLASS.get(m.group(1)[:2], "exception")
        if m.group(1)[:2] == "HV" and condition == "exception" and m.group(4):
            condition = next((c for pattern, c in POSTGRES_FDW if re.search(pattern, m.group(4))), condition)
        rows.append((m.group(1), "sql:postgres", "", condition))
        if m.group(4) and "_" in m.group(4):
            rows.append((m.group(4), "sql:postgres", "", condition))
    return rows


# MySQL: common server and client errors by condition.
MYSQL = """
authentication_failed: ER_ACCESS_DENIED_ERROR ER_ACCESS_DENIED_NO_PASSWORD_ERROR ER_NOT_SUPPORTED_AUTH_MODE ER_MUST_CHANGE_PASSWORD ER_MUST_CHANGE_PASSWORD_LOGIN ER_PASSWORD_NO_MATCH
permission_denied: ER_ACCOUNT_HAS_BEEN_LOCKED ER_DBACCESS_DENIED_ERROR ER_TABLEACCESS_DENIED_ERROR ER_COLUMNACCESS_DENIED_ERROR ER_SPECIFIC_ACCESS_DENIED_ERROR ER_HOST_NOT_PRIVILEGED ER_HOST_IS_BLOCKED ER_PROCACCESS_DENIED_ERROR ER_OPTION_PREVENTS_STATEMENT ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION ER_OPEN_AS_READONLY
not_found: ER_BAD_DB_ERROR ER_NO_SUCH_TABLE ER_UNKNOWN_TABLE ER_BAD_TABLE_ERROR ER_DB_DROP_EXISTS ER_KEY_DOES_NOT_EXITS ER_NO_SUCH_USER ER_NO_SUCH_INDEX ER_CANT_DROP_FIELD_OR_KEY ER_FILE_NOT_FOUND ER_NO_SUCH_THREAD ER_TRG_DOES_NOT_EXIST ER_EVENT_DOES_NOT_EXIST ER_TABLESPACE_MISSING_WITH_NAME
conflict: ER_DUP_ENTRY ER_DUP_ENTRY_WITH_KEY_NAME ER_DUP_KEY ER_DUP_UNIQUE ER_DUP_KEYNAME ER_DUP_FIELDNAME ER_TABLE_EXISTS_ERROR ER_DB_CREATE_EXISTS ER_LOCK_DEADLOCK ER_NO_REFERENCED_ROW ER_NO_REFERENCED_ROW_2 ER_ROW_IS_REFERENCED ER_ROW_IS_REFERENCED_2 ER_FOREIGN_DUPLICATE_KEY ER_SP_ALREADY_EXISTS ER_LOCK_OR_ACTIVE_TRANSACTION ER_CHECKREAD ER_LOCK_NOWAIT ER_TRG_ALREADY_EXISTS
code_execution_error: ER_PARSE_ERROR ER_SYNTAX_ERROR ER_DIVISION_BY_ZERO ER_EMPTY_QUERY
not_found: ER_NONEXISTING_GRANT ER_NONEXISTING_TABLE_GRANT
invalid_request: ER_BAD_NULL_ERROR ER_DATA_TOO_LONG ER_NO_DEFAULT_FOR_FIELD ER_WARN_DATA_OUT_OF_RANGE ER_DATA_OUT_OF_RANGE ER_NET_PACKET_TOO_LARGE ER_TOO_LONG_IDENT ER_TOO_LONG_KEY ER_WRONG_TABLE_NAME ER_WRONG_DB_NAME ER_WRONG_COLUMN_NAME ER_CHECK_CONSTRAINT_VIOLATED ER_INVALID_DEFAULT ER_INVALID_JSON_PATH ER_WRONG_AUTO_KEY ER_INVALID_DEFAULT ER_TOO_BIG_ROWSIZE ER_TOO_MANY_FIELDS ER_NONUNIQ_TABLE ER_NON_UNIQ_ERROR ER_WRONG_FIELD_WITH_GROUP ER_MIX_OF_GROUP_FUNC_AND_FIELDS ER_INVALID_GROUP_FUNC_USE ER_WRONG_VALUE_COUNT ER_WRONG_VALUE_COUNT_ON_ROW ER_OPERAND_COLUMNS ER_SUBQUERY_NO_1_ROW ER_ILLEGAL_REFERENCE ER_DERIVED_MUST_HAVE_ALIAS ER_WRONG_NUMBER_OF_COLUMNS_IN_SELECT ER_WRONG_GROUP_FIELD ER_SP_WRONG_NO_OF_ARGS ER_WRONG_PARAMCOUNT_TO_NATIVE_FCT ER_FIELD_SPECIFIED_TWICE ER_WRONG_ARGUMENTS ER_WRONG_USAGE ER_UPDATE_TABLE_USED ER_CANT_AGGREGATE_2COLLATIONS ER_MULTIPLE_PRI_KEY ER_FIELD_IN_ORDER_NOT_SELECT ER_AGGREGATE_ORDER_NON_AGG_QUERY ER_SP_NOT_VAR_ARG ER_BAD_FIELD_ERROR ER_SP_DOES_NOT_EXIST ER_KEY_COLUMN_DOES_NOT_EXITS ER_UNKNOWN_SYSTEM_VARIABLE ER_NO_DB_ERROR ER_UNKNOWN_CHARACTER_SET
data_error: WARN_DATA_TRUNCATED ER_INVALID_CHARACTER_STRING ER_CRASHED_ON_USAGE ER_CRASHED_ON_REPAIR ER_NOT_KEYFILE ER_CANNOT_CONVERT_STRING ER_INVALID_JSON_BINARY_DATA ER_TRUNCATED_WRONG_VALUE ER_TRUNCATED_WRONG_VALUE_FOR_FIELD ER_INVALID_JSON_TEXT ER_INVALID_JSON_TEXT_IN_PARAM
connection_failed: ER_NET_READ_ERROR ER_NET_WRITE_ERRORS ER_NET_ERROR_ON_WRITE ER_NET_PACKETS_OUT_OF_ORDER ER_NET_FCNTL_ERROR ER_NET_UNCOMPRESS_ERROR ER_ABORTING_CONNECTION ER_NEW_ABORTING_CONNECTION ER_HANDSHAKE_ERROR ER_BAD_HOST_ERROR ER_SECURE_TRANSPORT_REQUIRED CR_CONNECTION_ERROR CR_CONN_HOST_ERROR CR_SERVER_GONE_ERROR CR_SERVER_LOST CR_SERVER_LOST_EXTENDED CR_UNKNOWN_HOST CR_SSL_CONNECTION_ERROR PROTOCOL_CONNECTION_LOST ER_MALFORMED_PACKET
timeout: ER_LOCK_WAIT_TIMEOUT ER_NET_READ_INTERRUPTED ER_NET_WRITE_INTERRUPTED ER_QUERY_TIMEOUT ER_CLIENT_INTERACTION_TIMEOUT PROTOCOL_SEQUENCE_TIMEOUT
overloaded: ER_CON_COUNT_ERROR ER_SERVER_SHUTDOWN ER_TOO_MANY_CONCURRENT_TRXS
rate_limited: ER_TOO_MANY_USER_CONNECTIONS ER_USER_LIMIT_REACHED
resource_exhausted: ER_OUT_OF_RESOURCES ER_OUTOFMEMORY ER_OUT_OF_SORTMEMORY ER_DISK_FULL ER_RECORD_FILE_FULL ER_LOCK_TABLE_FULL ER_STACK_OVERRUN ER_STACK_OVERRUN_NEED_MORE ER_SP_RECURSION_LIMIT ER_CANT_CREATE_THREAD ER_TOO_MANY_TABLES ER_CTE_MAX_RECURSION_DEPTH
run_cancelled: ER_QUERY_INTERRUPTED
unsupported: ER_NOT_SUPPORTED_YET ER_ILLEGAL_HA ER_UNSUPPORTED_PS ER_UNKNOWN_STORAGE_ENGINE ER_CHECK_NOT_IMPLEMENTED
misconfiguration: ER_PLUGIN_IS_NOT_LOADED
exception: ER_CANT_CREATE_TABLE ER_UNKNOWN_ERROR ER_INTERNAL_ERROR ER_GET_ERRNO ER_SIGNAL_EXCEPTION ER_UNKNOWN_COM_ERROR
"""
MYSQL_CLIENT = {2002: "connection_failed", 2003: "connection_failed", 2005: "connection_failed", 2006: "connection_failed", 2013: "connection_failed", 2026: "connection_failed", 2055: "connection_failed", 2059: "authentication_failed", 2061: "authentication_failed"}


def mysql(cache):
    """Names and numbers of MySQL; the numbers come from the constants of the npm driver."""
    numbers = {}
    package = newest(cache, "npm/mysql2-*.tgz")
    if package:
        with tarfile.open(package) as archive:
            text = archive.extractfile("package/lib/constants/errors.js").read().decode()
        numbers = {name: number for name, number in re.findall(r"exports\.([A-Z_0-9]+) = (\d+);", text)}
    else:
        note("no mysql2: numbers of MySQL skipped")
    rows = [(str(number), "sql:mysql", "", condition) for number, condition in MYSQL_CLIENT.items()]
    for line in MYSQL.strip().splitlines():
        condition, _, names = line.partition(": ")
        for name in names.split():
            if numbers and name.startswith("ER_") and name not in numbers:
                continue
            rows.append((name, "sql:mysql", "", condition))
            if name in numbers:
                rows.append((numbers[name], "sql:mysql", "", condition))
    return rows


def node(cache):
    """Codes of the run-time that the hand-written table does not name: `exception`."""
    path = cache / "node-codes.txt"
    if path.exists():
        names = path.read_text().split()
    else:
        script = "console.log(Object.keys(require('internal/errors').codes).join('\\n'))"
        try:
            names = subprocess.run(["node", "--expose-internals", "-e", script], capture_output=True, text=True, check=True).stdout.split()
        except (OSError, subprocess.CalledProcessError):
            note("no node: its list of codes skipped")
            names = []
    return [(name, "node", "", "exception") for name in names]


# For names that codes/browser_net.toml does not list: only words that leave no doubt, never the prefix alone.
BROWSER_RULES = [
    (r"TIMED_OUT|TIMEOUT", "timeout"), (r"NOT_SUPPORTED|UNSUPPORTED|NOT_IMPLEMENTED", "unsupported"), (r"^ERR_BLOCKED|CAPTCHA", "guardrail_blocked"),
    (r"PARSING_FAILED|DECODING|MALFORMED_(?!IDENTITY|RESPONSE)", "data_error"), (r"CLIENT_AUTH|AUTH_CRED|_AUTH(?:_|$)|BAD_PASSWORD|MALFORMED_IDENTITY", "authentication_failed"),
    (r"ALREADY_EXISTS|_IN_USE|BUSY", "conflict"), (r"QUEUE_TOO_LARGE|_LIMIT$|NO_SPACE|NO_BUFFER|OUT_OF_MEMORY", "resource_exhausted"),
    (r"^ERR_(?:CERT_(?!END)|CERTIFICATE|SSL|TLS|QUIC|HTTP2|SPDY|DNS|SOCKS|PROXY|WS_|NAME_|HTTPS_PROXY|CONNECTION|ICANN|TUNNEL)|CONNECTION_(?:RESET|CLOSED|REFUSED|FAILED|ABORTED)", "connection_failed"),
    (r"_TOO_(?:BIG|LONG)|^ERR_INVALID_(?:URL|ARGUMENT)", "invalid_request"),
]  # fmt: skip


def browser(cache):
    """Names of Chromium's network errors, by rules on the name."""
    package = newest(cache, "npm/chromium-net-errors-*.tgz")
    if not package:
        note("no chromium-net-errors: browser errors skipped")
        return []
    with tarfile.open(package) as archive:
        text = archive.extractfile("package/build/index.js").read().decode()
    rows = []
    for name in sorted(set(re.findall(r"this\.description = '([A-Z0-9_]+)'", text))):
        code = f"ERR_{name}"
        if name == "CERT_END":
            continue  # the end of a range, no error
        condition = next((c for pattern, c in BROWSER_RULES if re.search(pattern, code)), "exception")
        rows.append((code, "browser", "", condition))
    return rows


STRIPE_RULES = [
    (r"tls_version", "unsupported"), (r"(?:type|country|state|code|locale|account|item)_unsupported|unsupported_(?:type|account)|api_version_not_supported", "invalid_request"),
    (r"rate_limit|lock_timeout", "rate_limited"), (r"limit_exceeded", "quota_exhausted"), (r"^parameter_missing|address_missing|_method_missing|capability_missing", "invalid_request"), (r"api_key_expired|platform_api_key_expired|secret_key_required|platform_account_required", "authentication_failed"),
    (r"missing$|resource_missing|no_account|not_found", "not_found"),
    (r"already|duplicate|in_use|conflict|idempotency|unexpected_state|not_editable|processed|in_progress|upgraded|_exists", "conflict"),
    (r"permission|not_allowed|restricted|unauthorized|not_permitted", "permission_denied"),
    (r"timeout|timed_out", "timeout"), (r"upstream_connection|_offline", "connection_failed"), (r"upstream_error|calculation_failed", "overloaded"),
    (r"not_enabled|inactive|not_active|unactivated|_blocked|prohibited|account_closed|_declined$", "permission_denied"), (r"mismatch|parameters_exclusive|incompatible|charges_only|_no_\w+_(?:items|types)|upcoming_none", "invalid_request"),
    (r"_busy|expired|canceled|disputed|not_refundable|additional_steps|not_ready", "conflict"), (r"_not_available", "not_found"),
    (r"approval_required|action_required|requires_action|authentication_required", "exception"), (r"disabled|not_supported|unsupported|unavailable", "unsupported"),
    (r"invalid|missing|required|too_large|too_small|unknown|exceeds|empty|bad|max_|incorrect|must", "invalid_request"),
]  # fmt: skip


def stripe(cache):
    """The union of `code`s in Stripe's types."""
    package = newest(cache, "npm/stripe-*.tgz")
    if not package:
        note("no stripe: its codes skipped")
        return []
    best = []
    with tarfile.open(package) as archive:
        for member in archive:
            if not member.name.endswith(".d.ts") or "PaymentIntents" not in member.name:
                continue
            text = archive.extractfile(member).read().decode("utf-8", "replace")
            for union in re.findall(r"type Code =([^;]*);", text):
                codes = re.findall(r"'([a-z0-9]+_[a-z_0-9]+)'", union)
                if len(codes) > len(best):
                    best = codes
    rows = []
    for code in best:
        condition = next((c for pattern, c in STRIPE_RULES if re.search(pattern, code)), "exception")
        rows.append((code, "saas:stripe", "429" if condition == "rate_limited" else "", condition))
    return rows


# Enumerations of error codes in npm packages: package, pattern of the enumeration's name, origin, kind of package, prefix of the codes.
ENUMERATIONS = [
    ("@azure/storage-blob", r"KnownStorageErrorCode", "azure", "cloud", ""), ("@azure/service-bus", r"ServiceBusErrorCode", "azure", "cloud", ""),
    ("@openai/agents-core", r"SandboxErrorCode", "npm:@openai/agents-core", "sandbox", ""), ("@openrouter/sdk", r"ApiErrorType", "api:openrouter", "model_sdk", ""),
    ("@supabase/auth-js", r"ErrorCode", "saas:supabase", "saas", ""), ("@trigger.dev/core", r"TaskRunErrorCodes", "npm:@trigger.dev/core", "runtime", ""),
    ("agents", r"CloudflareAIErrorCode|WebFetchErrorCode|WebSearchErrorCode", "npm:agents", "search", ""),
    ("@workflow/errors", r"RUN_ERROR_CODES", "npm:@workflow/errors", "runtime", ""), ("@composio/core", r"\w+ErrorCodes", "npm:@composio/core", "saas", ""),
    ("@copilotkit/shared", r"CopilotKitErrorCode", "npm:@copilotkit/shared", "framework", ""), ("inngest", r"SandboxErrorCode", "npm:inngest", "sandbox", ""),
    ("csv-parse", r"CsvErrorCode", "npm:csv-parse", "parser", ""), ("@mastra/core", r"ErrorCode", "npm:@mastra/core", "browser", ""),
    ("firebase-admin", r"AuthErrorCode", "saas:firebase", "saas", "auth/"), ("firebase-admin", r"MessagingErrorCode", "saas:firebase", "saas", "messaging/"),
    ("firebase-admin", r"StorageErrorCode", "saas:firebase", "saas", "storage/"), ("firebase-admin", r"AppErrorCode", "saas:firebase", "saas", "app/"),
    ("resend", r"RESEND_ERROR_CODE_KEY", "saas:resend", "saas", ""), ("@voltagent/core", r"ToolDeniedErrorCode", "npm:@voltagent/core", "framework", ""),
]  # fmt: skip
# Readings of members that the shared derivation takes otherwise; the first match counts, an empty condition leaves the code out.
ENUM_RULES = [
    (r"(?i)unsupported\w*(?:type|version|format)|condition_?headers_?not_?supported", "invalid_request"),
    (r"(?i)(?:url|path|host)_?(?:not_?allowed|blocked|disallowed)|blocked_\w*(?:url|path|host)|disallowed_\w*(?:url|path|host)", "guardrail_blocked"),
    (r"(?i)user-disabled$", "permission_denied"), (r"unable-to-parse", "data_error"), (r"third-party-auth", "authentication_failed"), (r"project-not-found$", "not_found"),
    (r"InvalidBlockId|InvalidFileOrDirectory|BlockListTooLong|InvalidBlockList|InvalidResourceName", "invalid_request"),
    (r"DowngradeNotAllowed|IncrementalCopyOfEarlier|OnIncrementalCopyBlob", "conflict"),
    (r"^CSV_(?:INVALID_OPTION|INVALID_ARGUMENT|OPTION|INVALID_COLUMN)", "invalid_request"), (r"^CSV_|^INVALID_OPENING_QUOTE", "data_error"),
    (r"COULD_NOT_IMPORT_TASK|TASK_HAS_N_EXECUTION|MAX_EVENTS", ""), (r"MAX_DURATION", "run_timeout"), (r"OOM|OutOfMemory", "resource_exhausted"),
    (r"INVALID_TOOL_ARGUMENTS", "invalid_tool_arguments"), (r"^TOOL_NOT_FOUND$", "unknown_tool"), (r"^(?:max_tokens|token_limit)_exceeded$", "context_window_exceeded"),
    (r"element_blocked", "invalid_request"), (r"recaptcha", "misconfiguration"), (r"^UnauthorizedBlobOverwrite|^restricted_api_key", "permission_denied"),
    (r"(?i)lease|being_?deleted|condition_?not_?met|conflict|in_?progress|already|exists|taken|duplicate|not_deletable|lock_?lost|cannot_?be_?locked|user-not-disabled", "conflict"),
    (r"(?i)captcha", "guardrail_blocked"), (r"(?i)weak_password|same_password|too_many_enrolled|method_not_allowed", "invalid_request"),
    (r"(?i)_?-?not_?-?found$|no_such|not-registered$", "not_found"), (r"^(?:invalid|missing)-(?!credential|config|dependencies)", "invalid_request"),
    (r"(?i)disabled$|not_enabled|not_allowed|forbidden|blocked|denied|insufficient", "permission_denied"),
    (r"(?i)otp|mfa_(?:challenge|verif)|jwt|(?:access|id|refresh)_token|credential|session_(?:expired|not)|reauth|nonce|api_?key|unauthorized", "authentication_failed"),
    (r"(?i)send_failed|hook_timeout$", "overloaded"), (r"(?i)rate_limit|too_many_requests|throttl", "rate_limited"),
    (r"(?i)quota|payment_required|billing", "quota_exhausted"),
]


def enumerations(cache):
    """Codes of the enumerations in ENUMERATIONS; members whose words say nothing are left out."""
    path = cache / "npm-raw.json"
    if not path.exists():
        note("npm packages were not scanned: enumerations skipped")
        return []
    raw = json.loads(path.read_text(encoding="utf-8"))
    rows = []
    for package, pattern, origin, kind, prefix in ENUMERATIONS:
        for name, members in raw.get(package, {}).get("enums", {}).items():
            if not re.fullmatch(pattern, name):
                continue
            for _member, value in members:
                if not re.search(r"[_-]|[a-z][A-Z]", value) or not re.fullmatch(r"[A-Za-z][\w.-]+", value):
                    continue
                rule = next((c for p, c in ENUM_RULES if re.search(p, value)), None)
                condition = derive.derive(value, "", None, None, package, (), kind=kind)[0] if rule is None else rule
                if condition and condition != "exception":
                    rows.append((prefix + value, origin, "", condition))
    return rows


def rows(cache):
    by_key = {}
    for source in (aws, postgres, mysql, node, browser, stripe, enumerations):
        for row in source(cache):
            by_key.setdefault(row[:2], row)
    for row in codes_table.tables():
        by_key[row[:2]] = row
    return sorted(row for row in by_key.values() if not ordinary(row[0]))


# Words of ordinary text are no distinctive tokens, whatever they mean to one service.
ORDINARY = set("""ASK BANNED Blocked DAILY DENIED Interrupted MOVED Overflow TAKEN TIMEOUT CONFLICT Unavailable Canceled blocked disconnected
expired fraudulent missing required stopped unprocessable updated unauthorized""".split())


def ordinary(code):
    return code in ORDINARY


def main():
    cache, out = pathlib.Path(sys.argv[1]).expanduser(), pathlib.Path(sys.argv[2])
    table = rows(cache)
    out.write_text("".join("\t".join(row) + "\n" for row in table), encoding="utf-8")
    counts = collections.Counter(row[1].split(":")[0] for row in table)
    note(f"{len(table)} codes: " + ", ".join(f"{name} {n}" for name, n in sorted(counts.items())))


if __name__ == "__main__":
    main()
