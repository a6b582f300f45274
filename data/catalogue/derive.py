"""Derives the condition that an error class stands for.

`derive` looks, in this order, at the words of the class's name, its HTTP status, the first sentence of its documentation, and the
messages it is raised with. A rule has a tier (3: unambiguous phrase, 2: usual word, 1: weak hint); of the rules that match a name, the
highest tier wins, then the one that ends last (English puts the head of a compound at its end: `TimeoutConfigError` is about a setting,
`ConfigTimeoutError` about time), then the longest. A weak hint loses to a status and to a base class that names a cause.

`python3 derive.py` runs the self-check at the end of the file.
"""

from __future__ import annotations

import re
from functools import lru_cache

CONDITIONS = frozenset(
    """rate_limited quota_exhausted overloaded timeout connection_failed authentication_failed permission_denied model_not_found not_found
    conflict invalid_request context_window_exceeded output_truncated context_lost safety_filter model_refusal guardrail_blocked
    unknown_tool invalid_tool_arguments malformed_json schema_violation format_instruction_ignored empty_output retriever_error
    empty_retrieval code_execution_error missing_dependency resource_exhausted misconfiguration max_iterations_reached run_timeout
    token_budget_exhausted repeated_calls handoff_failed run_cancelled control_flow unsupported data_error exception""".split()
)

HTTP_STATUS = {
    400: "invalid_request", 401: "authentication_failed", 402: "quota_exhausted", 403: "permission_denied", 404: "not_found",
    405: "invalid_request", 406: "invalid_request", 407: "authentication_failed", 408: "timeout", 409: "conflict", 410: "not_found",
    411: "invalid_request", 412: "conflict", 413: "invalid_request", 414: "invalid_request", 415: "invalid_request",
    416: "invalid_request", 417: "invalid_request", 421: "invalid_request", 422: "invalid_request", 423: "conflict",
    424: "exception", 425: "invalid_request", 426: "invalid_request", 428: "invalid_request", 429: "rate_limited", 431: "invalid_request",
    440: "authentication_failed", 444: "connection_failed", 451: "permission_denied", 498: "authentication_failed", 499: "run_cancelled",
    500: "overloaded", 501: "unsupported", 502: "overloaded", 503: "overloaded", 504: "timeout", 505: "unsupported",
    507: "resource_exhausted", 508: "exception", 511: "authentication_failed", 520: "overloaded", 521: "connection_failed",
    522: "timeout", 523: "connection_failed", 524: "timeout", 525: "connection_failed", 526: "connection_failed",
    527: "connection_failed", 529: "overloaded", 530: "connection_failed", 598: "timeout", 599: "timeout",
}  # fmt: skip

# Status name -> (number, HTTP status, condition).
GRPC_STATUS = {
    "CANCELLED": (1, 499, "run_cancelled"), "UNKNOWN": (2, 500, "exception"), "INVALID_ARGUMENT": (3, 400, "invalid_request"),
    "DEADLINE_EXCEEDED": (4, 504, "timeout"), "NOT_FOUND": (5, 404, "not_found"), "ALREADY_EXISTS": (6, 409, "conflict"),
    "PERMISSION_DENIED": (7, 403, "permission_denied"), "RESOURCE_EXHAUSTED": (8, 429, "rate_limited"),
    "FAILED_PRECONDITION": (9, 400, "invalid_request"), "ABORTED": (10, 409, "conflict"), "OUT_OF_RANGE": (11, 400, "invalid_request"),
    "UNIMPLEMENTED": (12, 501, "unsupported"), "INTERNAL": (13, 500, "overloaded"), "UNAVAILABLE": (14, 503, "overloaded"),
    "DATA_LOSS": (15, 500, "overloaded"), "UNAUTHENTICATED": (16, 401, "authentication_failed"),
}  # fmt: skip

# Kinds of package. `kind_of_module` knows the common ones; a harvest may pass its own.
KINDS = frozenset(
    "model_sdk framework mcp guardrail store http browser cloud saas parser search sandbox runtime web security builtin".split()
)

# Services answer over a network: an "internal error" of theirs is a 5xx.
REMOTE = ("model_sdk", "cloud", "saas", "search", "sandbox")
AGENTIC = ("framework", "mcp", "guardrail", "model_sdk")
# Kinds whose texts come from a model and are parsed on behalf of an agent.
OUTPUT = ("framework", "guardrail", "parser", "model_sdk")


def kind_of_module(module: str) -> str | None:
    """The kind of package that a module or package belongs to, by its first parts; None if unknown."""
    lowered = module.lower().replace("/", ".").replace("-", "_").replace("::", ".").removeprefix("npm:").removeprefix("pypi:")
    lowered = lowered.removeprefix("crates:").removeprefix("maven:").removeprefix("@")
    best = ""
    for prefix in _MODULE_KINDS:
        if (lowered == prefix or lowered.startswith(prefix + ".") or lowered.startswith(prefix + "_")) and len(prefix) > len(best):
            best = prefix
    return _MODULE_KINDS.get(best)


_MODULE_KINDS = {
    prefix: kind
    for kind, prefixes in {
        "model_sdk": """openai async_openai anthropic google.genai google.generativeai google.api_core mistralai cohere groq together fireworks
            replicate huggingface huggingface_hub ollama litellm zhipuai dashscope ai21 reka voyageai cerebras xai_sdk ibm_watsonx_ai writerai
            vllm sglang transformers azure.ai anthropic_ai ai_sdk cohere_ai groq_sdk together_ai genkit""",
        "framework": """langchain langgraph llama_index llamaindex haystack crewai autogen ag2 pydantic_ai agents openai.agents google.adk
            strands smolagents semantic_kernel agno dspy instructor guidance outlines marvin letta mem0 camel metagpt browser_use
            agentscope ai mastra voltagent copilotkit rig rig_core""",
        "mcp": "mcp fastmcp rmcp modelcontextprotocol",
        "guardrail": "guardrails nemoguardrails llm_guard presidio_analyzer",
        "store": """pinecone pinecone_database qdrant qdrant_client weaviate weaviate_client chromadb pymilvus lancedb elasticsearch elastic
            opensearchpy redis ioredis pymongo mongodb psycopg psycopg2 asyncpg pg mysql2 sqlalchemy duckdb snowflake neo4j cassandra
            clickhouse_connect sqlx typeorm prisma sqlite3 supabase""",
        "http": "requests httpx httpcore aiohttp urllib3 urllib websockets axios got undici node_fetch ws reqwest hyper tungstenite",
        "browser": "playwright playwright_core selenium puppeteer puppeteer_core",
        "cloud": "google.cloud azure botocore boto3 aws_sdk tonic grpc grpcio kubernetes docker firebase_admin",
        "saas": "slack slack_sdk github octokit stripe twilio notion_client notionhq jira simple_salesforce",
        "parser": "pydantic pydantic_core jsonschema json_repair lxml bs4 pypdf pdfminer docx openpyxl pandas numpy unstructured zod ajv json serde_json",
        "search": "tavily exa_py duckduckgo_search ddgs serpapi firecrawl wikipedia arxiv yfinance",
        "sandbox": "e2b e2b_code_interpreter modal daytona",
        "runtime": "celery ray temporalio bullmq inngest tokio",
        "web": "fastapi starlette flask django graphql",
        "security": "jwt cryptography paramiko authlib jose",
    }.items()
    for prefix in prefixes.split()
}


class _Rule:
    __slots__ = ("label", "tier", "pattern", "condition", "kinds", "unless")

    def __init__(self, tier, pattern, condition, kinds=None, unless=None):
        assert condition is None or condition in CONDITIONS, condition
        self.tier, self.condition = tier, condition
        self.label = pattern
        self.pattern = re.compile(rf"(?<= )(?:{pattern})(?= )")
        self.kinds = frozenset(kinds) if kinds else None
        self.unless = frozenset(unless) if unless else frozenset()

    def applies(self, kind):
        return (self.kinds is None or kind in self.kinds) and kind not in self.unless


R = _Rule
# What a request says about what it asks for, as opposed to a feature that it uses.
_VALUE = (
    r"(?:(?<!client )(?<!feature )types?|(?<!protocol )(?<!model )versions?|formats?|languages?|locales?|currenc(?:y|ies)|countr(?:y|ies)|charsets?|encodings?|media|contents?|"
    r"values?|arguments?|roles?|params?|parameters?|options?|image urls?|arns?|attachments?|documents?|challenge methods?|http methods?|(?:s ?3 |outpost )resources?|"
    r"details?|alphabets?|calendars?|data)"
)
# What may follow a word about credentials without changing what the name is about.
_TAIL = r"(?: (?:flow|tokens?|grant|client|refresh|code|error|exception|failed|failure|required|expired|invalid|denied|rejected|missing|verification|callback|registration|challenge|login|session|provider|loading|retrieval|issuer|authorization|mismatch|not found|not provided|resolution|exchange))*"
_FAIL = r"(?:fail(?:ed|ure|ures)?|error|errors|exception)"

# Rules on the words of a name, in lower case with single spaces; suffixes such as "error" are kept. A condition of None vetoes: the
# words are known to say nothing (the base decides).
NAME_RULES = [
    # -- control flow, cancellation
    R(
        3,
        r"stop (?:async )?iteration|generator exit|graph bubble up|parent command|(?:graph|node|tool) interrupt(?:ed|ion)?|"
        r"(?:workflow|agent) interrupt",
        "control_flow",
    ),
    R(3, r"(?:execution|run|workflow|agent|task|flow|job|process|kernel) (?:run |execution )?interrupted", "run_cancelled"),
    R(
        3,
        r"(?:(?<!unknown )(?<!invalid )interrupt|user input required|human input required|input required|approval required|"
        r"requires? approval|call deferred|deferred|model retry|tool retry|handoff requested|early exit|wait for human|needs? (?:human|"
        r"approval|input)|(?<!not )pause(?:d)?|(?<!not )suspend(?:ed)?|skip(?:ped)?)(?: error| exception)?(?= $)",
        "control_flow",
        kinds=("framework", "mcp", "runtime"),
    ),
    R(3, r"retry (?:requested|agent run|model request|run|step|node)(?: from policy)?|continue as new", "control_flow"),
    R(3, r"deferred (?:tool )?calls?(?: \w+)?", "control_flow"),
    R(
        3,
        r"skip (?:test|execution|step|node|task|validation)|"
        r"stop (?:execution|processing|propagation|agent run|consumer|pagination|retrying)|break loop|continue loop|"
        r"try again later retry",
        "control_flow",
    ),
    # Signals of an interpreter or a loop, named like the statement: `BreakControl`, `ContinueLoop`, `ReturnException`, `StopTokenizing`.
    R(
        3,
        r"(?<=^ )(?:break|continue|return|yield)(?: (?:control|loop|outer|statement|signal|flow))?(?: error| exception| signal)?(?= $)|"
        r"(?<=^ )stop (?:(?!parsing)\w+ing|signal|lesson|run|loop|stream|chain|action|event|rule|event propagation|async iteration|filter|upload|"
        r"download|future import)(?: error| exception)?(?= $)|(?:break|stop|continue) signal",
        "control_flow",
    ),
    R(
        3,
        r"(?<=^ )skip (?!tokens?\b)\w+(?: \w+)?(?= $)|(?<=^ )stop response|(?<=^ )fallback to \w+(?: \w+)*|(?:feedback|approval|confirmation) pending|"
        r"(?<!termination )(?:control|external|flow|prefect|interrupt) signal(?= $)|stream restarted",
        "control_flow",
    ),
    R(3, r"termination signal|prompt exit|(?<=^ )quit(?= (?:error|exception) )", "run_cancelled"),
    R(3, r"authorization pending", "authentication_failed"),
    R(3, r"approval (?:rejected|denied)|(?:user|human) (?:rejected|denied|declined)", "permission_denied", kinds=("framework", "mcp")),
    R(
        3,
        r"keyboard interrupt|cancell?ed|cancell?ed error|cancell?ation(?: error)?|operation cancell?ed|task revoked|shut ?down|"
        r"worker (?:shutdown|terminate)|user (?:abort|cancel|terminat)\w*",
        "run_cancelled",
    ),
    R(2, r"(?<=^ )cancel|cancell?ing|(?<!^ )aborted|abort error|abort|killed|terminated", "run_cancelled", unless=("store",)),
    R(2, r"(?<=^ )aborted", "run_cancelled", unless=("store", "cloud", "model_sdk")),
    R(2, r"(?<=^ )aborted", "conflict", kinds=("store", "cloud", "model_sdk")),
    R(3, r"(?:transaction|write) (?:abort(?:ed)?|conflict)", "conflict"),
    R(3, r"(?:admin|crash|server|connection) shut ?down", "connection_failed", kinds=("store", "http")),
    # -- configuration: as the head of the name it overrides what the setting is about
    R(
        4,
        r"(?:config|configs|configuration|configurations|settings?|environment variables?|env vars?)(?: (?:error|exception|"
        r"failure))?(?= $)",
        "misconfiguration",
    ),
    R(4, r"(?:\w+ )*(?:env|environment) var(?:iable)?s?(?: \w+)*", "misconfiguration"),
    R(4, r"env (?!exec|run|step)\w+(?: error| exception)?(?= $)", "misconfiguration", unless=("runtime",)),
    R(3, r"(?<!bad )(?<!invalid )(?<!missing )(?<!unknown )(?:option (?:error|exception)|options? mismatch)", "misconfiguration", unless=("builtin", "parser")),
    R(
        3,
        r"(?:schema|type) annotation(?: error| exception)?(?= $)|(?:unknown|unregistered|invalid|missing|duplicate) (?:handler|decorator|"
        r"signature definition)(?: error| exception)?(?= $)|not configured(?: \w+)?|"
        r"(?<!tool )(?<!key )(?<!token )(?<!credentials )not set(?= (?:error |exception )?$)|no registered \w+|needs registry|circular dependency injection|"
        r"unsafe master key|(?:setup|migration) required|(?:graph|flow|dataclass) (?:setup|building|definition)(?: error| exception)?(?= $)",
        "misconfiguration",
    ),
    R(3, r"(?:circular|cyclic) dependency", "misconfiguration", kinds=("framework", "mcp")),
    R(
        3,
        r"(?:invalid|missing|bad|no|wrong|unknown|incomplete) (?:\w+ )?(?:config|configuration|settings?|configs?)|"
        r"(?:config|configuration|settings?|config file) (?:not found|missing|invalid|error|validation|parse|load|file not found)|"
        r"misconfigur\w+|improperly configured|not configured|(?<=^ )profile not found|(?:partial|missing) (?:environment|env)\b.*",
        "misconfiguration",
    ),
    R(
        1,
        r"config|configure|not (?:initiali[sz]ed|setup|set up|registered)|uninitiali[sz]ed|incompatible(?: \w+)? version|"
        r"version (?:mismatch|incompatible)",
        "misconfiguration",
    ),
    # -- limits of runs
    R(
        3,
        r"max(?:imum)? (?:\w+ )?(?:turns?|iterations?|steps?|rounds?|loops?|tool calls?|reasks?|llm calls?|"
        r"interactions?)(?: (?:exceeded|reached|limit))?|"
        r"(?:\w+ )?(?:iteration|turn|step|round|loop|tool calls?|llm calls?|model calls?|interaction) limits?(?: (?:exceeded|"
        r"reached))?|too many (?:iterations|steps|turns|tool calls|rounds)|(?:graph|agent) recursion|recursion limit",
        "max_iterations_reached",
        unless=("store", "http", "parser", "builtin", "web"),
    ),
    R(
        3,
        r"(?<!invalid )recursion|recursion (?:error|limit|depth)|max(?:imum)? (?:recursion )?depth|stack overflow|call depth",
        "resource_exhausted",
        unless=("framework",),
    ),
    R(
        2,
        r"max(?:imum)? (?:retry|retries|attempts|tries)(?: \w+)?|too many (?:retries|attempts)|"
        r"retr(?:y|ies)(?: (?:limit|exhausted|exceeded|timeout|error))?|attempts exhausted",
        "exception",
    ),
    R(
        3,
        r"(?:token|cost|spend|spending|request|price) budget(?: \w+)?|budget(?: (?:exceeded|exhausted|error|limit))?|"
        r"cost limit(?: exceeded)?|cost exceeded|token usage limit",
        "token_budget_exhausted",
    ),
    R(3, r"tool usage limits?(?: (?:exceeded|reached))?", "max_iterations_reached"),
    R(3, r"usage limits?(?: (?:exceeded|reached))?", "token_budget_exhausted", kinds=("framework",)),
    R(
        3,
        r"(?:workflow|agent|run|graph|flow|crew|conversation|session|execution|job|pipeline|task|activity|lambda|function) (?:run |"
        r"execution )?(?:timeout|timed out|time limit(?: exceeded)?|deadline exceeded)",
        "run_timeout",
        kinds=("framework", "runtime"),
    ),
    R(3, r"(?:soft )?time limit exceeded", "run_timeout", kinds=("runtime",)),
    R(3, r"repeated (?:calls?|tool calls?|actions?)|(?:infinite|endless) loop|loop detected|stuck", "repeated_calls"),
    R(
        3,
        r"handoff|hand off|handoff (?:failed|error)|agent (?:not found|unreachable|unavailable|not available|does not exist)|"
        r"unknown agent|delegation|delegation (?:failed|error)|a2a client \w+",
        "handoff_failed",
        kinds=("framework",),
    ),
    # -- tokens and context
    R(
        3,
        r"context (?:window|length|size|limit|overflow)(?: (?:exceeded|overflow|limit|too long|error))*|exceeded? context(?: \w+)*|"
        r"(?:prompt|input|sequence|context|message|messages) too long|too many tokens|"
        r"(?:input |prompt )?tokens? (?:limit|count) exceeded|input tokens? \w+|(?:model )?max(?:imum)? context\w*(?: length)?|"
        r"tokens? limit(?: exceeded| reached)?|prompt too (?:large|big)|context exceed\w*",
        "context_window_exceeded",
        unless=("store", "security", "saas", "cloud"),
    ),
    R(
        3,
        r"length finish reason|finish reason length|max(?:imum)? (?:output )?tokens?(?: (?:reached|exceeded|error|limit))?|"
        r"output (?:truncated|too long|tokens? limit|length)(?: exceeded)?|output tokens? \w+|"
        r"truncated (?:output|response|completion|json)|incomplete (?:output|generation|completion)|length limit reached",
        "output_truncated",
    ),
    R(3, r"(?:context|history|conversation history) (?:lost|dropped|missing)", "context_lost"),
    # -- blocked content
    R(
        3,
        r"content (?:filter|policy|filtered|moderation|blocked|filtering|violation|safety)\w*(?: \w+)?|"
        r"(?:blocked|rejected|flagged) prompt|prompt (?:blocked|rejected|flagged)|stop candidate|responsible ai(?: \w+)?|recitation|"
        r"moderation|moderated|prohibited content|sensitive (?:content|words?)|inappropriate content|"
        r"(?<!loop )safety(?: (?:filter\w*|policy|settings?|block\w*|violation|check|system|error|exception|rejection))*|"
        r"data inspection(?: failed)?",
        "safety_filter",
        unless=("store", "guardrail"),
    ),
    R(3, r"(?:model )?refusal", "model_refusal"),
    R(
        3,
        r"(?:input |output |tool )*guardrails?(?: (?:tripwire|triggered|violat\w+|blocked|fail\w*|raised|interven\w+|rejected|"
        r"denied))*(?: error| exception)?(?= $)|tripwire(?: \w+)*|blocked (?:\w+ )*(?:url|host|domain|website|address)|"
        r"captcha(?: \w+)*|bot (?:detect\w*|protection|challenge)|ssrf(?: \w+)*|prompt injection(?: \w+)*|jailbreak\w*|pii(?: \w+)?|"
        r"(?:content|policy|input|output) rail|robots? (?:txt|disallowed)|"
        r"(?:cloudflare|anti bot|human) (?:challenge|block\w*|verification)|waf(?: \w+)?|policy violation|violates? policy|"
        r"(?:host|url|website|navigation) (?:blocked|not allowed|disallowed|blacklisted)",
        "guardrail_blocked",
    ),
    R(
        4,
        r"(?:(?:file|upload|download|url|uri|host|domain|path|port|link|redirect|address|egress|network|origin|member|import|"
        r"media|navigation|scheme|directory|folder|tunnel port|website) )+(?:upload |path |fetch |request |access )?(?:refused|not allowed|disallowed|"
        r"blocked|forbidden|not permitted|rejected by policy|denied by policy|blacklisted|not allowlisted|not whitelisted|restricted)"
        r"(?: (?:by|in) \w+)?|(?:sensitive|disallowed|forbidden|blocked|unsafe|internal|private|untrusted) (?:file |filepath |internal |zip |tar |"
        r"remote |network )*(?:url|uri|host|path|command|redirect|file path|filepath|member|port|scheme|address|extraction|ip|file|link|domain|path component|"
        r"origin|import|attribute|code|archive)(?: (?:blocked|error|exception|refused))*(?= $)|"
        r"(?:allow ?list|deny ?list|blocklist|white ?list|black ?list)(?: \w+)*|path (?:traversal|escape|escapes)(?: \w+)*|"
        r"(?:url|host|file|upload|egress|network|domain|tool|approval|execution|shell) policy(?: (?:violation|denied|refused|blocked|error|"
        r"exception))*(?= $)|outside (?:\w+ )?(?:root|workspace|sandbox|allowlist)|escapes? (?:root|workspace|sandbox)",
        "guardrail_blocked",
        unless=("store",),
    ),
    R(
        2,
        r"moderation|safety|toxic\w*|validation|validator|blocked|content (?:filter|policy|moderation)\w*",
        "guardrail_blocked",
        kinds=("guardrail",),
    ),
    # -- tools
    R(
        3,
        r"(?:tool|function) (?:is )?(?:not (?:found|exists?|registered|available|known|defined)|does not exist|missing|"
        r"unregistered)(?: \w+)?|"
        r"(?:unknown|no such|undefined|nonexistent|hallucinated|invalid|unregistered) (?:tool|function)(?: name)?|method not found|"
        r"unsupported tool",
        "unknown_tool",
        unless=("store", "builtin", "parser"),
    ),
    R(
        3,
        r"(?:invalid|malformed|bad|wrong|incorrect|missing) (?:tool|function) (?:call|arguments?|args?|input|inputs|params?|"
        r"parameters?|use)(?: \w+)*|(?:tool|function) (?:arguments?|args?|input|inputs|params?|parameters?)(?: \w+)*|"
        r"tool (?:call )?(?:validation|schema|parse|parsing|repair|call repair|use failed|call parsing|call parse|"
        r"call validation)(?: \w+)*|malformed function call|function call parse\w*|agent action parse\w*",
        "invalid_tool_arguments",
        kinds=AGENTIC,
    ),
    R(
        2,
        r"(?<!invalid )(?<!unknown )(?<!missing )(?<!unsupported )(?<!duplicate )(?:tool|function|action|node|component|step|chain|agent|task|plugin|skill|workflow|pipeline|llm|model|generation|completion|run|runtime|flow|graph|crew|kernel|provider|activity|job|worker|plan|planner|executor|execution|operation|request|api|response|service|client) (?:(?:call|execution|runtime|invocation|invoke|run|use|status|api|running|process|processing|operation|function|task|component|service|provider|response|result|http) )*"
        + _FAIL,
        "exception",
    ),
    # -- output that cannot be used
    R(
        3,
        r"json(?: (?:decode|decoding|parse|parsing|parser|syntax|load|loads|deserialize|repair))?(?: (?:error|exception|failed|"
        r"failure))?(?= $)|(?:invalid|malformed|bad|broken|partial|incomplete|unparsable|unparseable) json(?: \w+)?|not json|"
        r"json (?:parse|decode|parsing|decoding|syntax|is invalid|invalid)(?: \w+)?",
        "malformed_json",
        unless=("http", "cloud", "store", "saas", "search", "web", "browser", "security"),
    ),
    R(
        3,
        r"(?:invalid |malformed )?json(?: (?:decode|decoding|parse|parsing))?(?: (?:error|exception|failed|failure))?|"
        r"(?:invalid|malformed|bad) json(?: \w+)?|json (?:parse|decode)\w*(?: \w+)?",
        "data_error",
        kinds=("http", "cloud", "store", "saas", "search", "web", "browser", "security"),
    ),
    R(4, r"json rpc(?: \w+)?|json project(?: \w+)?", "exception"),
    # Writing JSON fails on a value of the program, reading it on a text.
    R(4, r"(?:serializ\w+|encod\w+|dump\w*|write) (?:to )?json|json (?:serializ\w+|encod\w+|dump\w*)", "data_error"),
    R(4, r"(?<=^ )unreachable(?: code| case)?(?: error| exception)?(?= $)", "exception", kinds=("framework", "runtime", "model_sdk", "web")),
    R(3, r"(?:invalid|corrupt\w*|bad) (?:\w+ )?(?:stream|image|header|record|chunk|marker)(?: error| exception)?(?= $)", "data_error", kinds=("parser",)),
    R(3, r"unavailable in \w+", "unsupported"),
    R(
        3,
        r"(?:output|response|agent) pars(?:er|ing|e)(?: \w+)?|"
        r"(?:un)?pars(?:e|ing|able) (?:llm |model )?(?:output|response|answer|completion)|llm output pars\w*(?: \w+)?|"
        r"(?:output|response) (?:not parsable|unparsable)|parse output",
        "malformed_json",
        kinds=("framework", "guardrail"),
    ),
    R(
        3,
        r"(?:(?:structured )?output|object|type|schema|response schema|json schema) (?:validation|violation|mismatch)(?: \w+)?|"
        r"schema (?:validation|violation|mismatch)(?: \w+)?|no object generated|json validat\w+(?: \w+)?|structured output(?: \w+)?|"
        r"(?:invalid|unexpected) (?:structured )?output(?: \w+)?|output type \w+",
        "schema_violation",
        kinds=OUTPUT,
    ),
    R(
        3,
        r"response (?:validation|decode|decoding|parse|parsing|format|content|data)(?: \w+)?|"
        r"(?:invalid|malformed|bad|unparsable) (?:api |server |http )?(?:response|reply|answer)(?: \w+)?",
        "data_error",
        unless=("framework", "guardrail"),
    ),
    R(3, r"api (?:response )(?:validation|decode|parse)(?: \w+)?", "data_error"),
    R(
        3,
        r"unexpected (?:api |server |http )?(?:response|reply|status)(?: \w+)*|stream (?:already )?consumed|"
        r"already (?:consumed|closed)|(?:session|cursor|client) (?:already )?closed",
        "exception",
    ),
    R(2, r"validation(?: error| exception| failed| failure)?", "schema_violation", kinds=("parser",)),
    R(
        3,
        r"(?:no|missing|expected) (?:tool|function) calls?(?: \w+)?|missing (?:final )?(?:answer|action)|"
        r"(?:invalid|wrong) (?:action|output|response) format|format instructions?(?: \w+)?|incorrect (?:output|response) format|"
        r"(?:action|react|thought) pars\w+(?: \w+)?|no action",
        "format_instruction_ignored",
        kinds=("framework", "model_sdk"),
    ),
    R(
        3,
        r"(?:no|empty) (?:output|content|response|completion|message|result|generation|answer|image|images|image result|translation|speech|transcript|video|"
        r"audio|candidates?|choices|text)(?: (?:generated|returned|from llm|error|content|output))*(?= (?:error |exception )?$)",
        "empty_output",
        kinds=("model_sdk", "framework", "guardrail"),
    ),
    # -- retrieval
    R(
        3,
        r"(?:embedding|vector) (?:dimension|dim|size)s?(?: \w+)?|(?:invalid|wrong|mismatched) dimension\w*|"
        r"dimension\w* (?:mismatch|error|exception)|(?:inconsistent|incompatible) dimension\w*|embeddings?(?: function)?(?: \w+)?|"
        r"retriev(?:er|al)(?: \w+)?|vector ?(?:store|index|db|database)(?: \w+)?|"
        r"index (?:error|not (?:ready|built|loaded|trained)|build\w*|creation|query|state|consistency|initialization)(?: \w+)?|"
        r"(?:query|search|hnsw|knn) (?:index|engine)(?: \w+)?|knowledge (?:base|source)(?: \w+)?|rerank\w*(?: \w+)?",
        "retriever_error",
        kinds=("store", "framework"),
    ),
    R(
        3,
        r"(?:search )?results? empty|no (?:search )?results?(?: found)?|no (?:documents?|hits|matches)(?: found)?|"
        r"empty (?:results?|retrieval|search results?)",
        "empty_retrieval",
        kinds=("search", "framework"),
    ),
    R(3, r"no (?:search )?results?(?: found)?|no (?:documents?|hits|matches|rows?)(?: found)?", "not_found"),
    # -- code, dependencies, resources
    R(
        3,
        r"(?:code|script|command|cell|notebook|snippet|program|shell|sql|python|bash) (?:execution|exec|exit|run|runner|interpreter|"
        r"died|compile|compilation|line|evaluation|failed|failure)(?: \w+)*|"
        r"(?<=^ )(?:script|command|cell|notebook|snippet|shell|bash) error|interpreter(?: \w+)?|(?:dead|died) kernel|"
        r"non ?zero exit(?: \w+)*|exit (?:code|status)(?: \w+)?|called process|"
        r"compil(?:e|ation|er)(?: error| failed| failure| exception)?|sandbox (?:execution|failed|crash\w*)(?: \w+)?|"
        r"syntax(?: error| exception)?|process (?:exited|failed|terminated|error|crashed)|sub ?process(?: \w+)?|command exit|"
        r"exec failure",
        "code_execution_error",
    ),
    R(2, r"command", "code_execution_error", kinds=("sandbox", "store")),
    R(2, r"programming error", "code_execution_error"),
    R(3, r"(?:rail|flow|graph|rule|policy|schema) compil\w+(?: \w+)?", "misconfiguration"),
    R(
        3,
        r"not installed|"
        r"missing (?:\w+ )+(?:lib|wml component)|"
        r"(?:missing|optional|unmet|no) (?:\w+ )?(?:dependency|dependencies|package|packages|module|modules|library|lib|extra|requirement|"
        r"import|plugin)s?(?: \w+)*|"
        r"(?<!circular )(?<!cyclic )(?<!recursive )(?:dependency|package|module|library|requirement|dependencies) error|"
        r"(?:dependency|package|module|library|requirement|extra|dependencies) (?:missing|not (?:found|installed|available)|"
        r"unavailable|import|import error|load\w*)|"
        r"(?:executable|binary|command|program|driver|browser|interpreter) (?:not (?:found|installed|available)|missing|launch)|"
        r"no such driver|(?:lib|dll) not found|backend unavailable|libmagic \w+",
        "missing_dependency",
    ),
    R(3, r"import(?: error| failed)", "missing_dependency", unless=("saas",)),
    R(
        3,
        r"out of (?:memory|disk|space|resources|vram)(?: \w+)?|memory (?:limit|exceeded|quota|overflow|exhausted|allocation)(?: \w+)?|"
        r"oom(?: \w+)?|disk (?:full|space|quota|usage)(?: \w+)*|no space(?: left)?|storage (?:full|limit|quota)(?: \w+)?|"
        r"too many (?:open files|handles)|insufficient (?:memory|resources|disk|storage|disk space|gpus?)|resource limit(?: \w+)?|"
        r"no more (?:memory|space|resources)",
        "resource_exhausted",
    ),
    R(3, r"resources? (?:exhausted|exhaustion)", "rate_limited", kinds=("model_sdk", "cloud", "http", "saas")),
    R(2, r"resources? (?:exhausted|exhaustion)", "resource_exhausted", unless=("model_sdk", "cloud", "http", "saas")),
    R(3, r"memory error", "resource_exhausted", unless=("framework",)),
    R(2, r"(?:queue|buffer|cache|pool) (?:is )?(?:full|overflow|exhausted|empty pool)|pool exhausted", "resource_exhausted"),
    # -- rate, quota, load
    R(
        3,
        r"(?<!non )rate ?limit\w*(?: \w+)?|retry after|throttl\w+ quota(?: \w+)?|rate quota(?: \w+)?|too many (?:\w+ )?requests?|"
        r"throttl\w+(?: \w+)?|slow down(?: \w+)?|(?:api|request|requests|call) (?:rate )?limits?(?: (?:exceeded|reached|error))?|"
        r"flood(?: wait| error| control)?|(?:concurrency|concurrent \w+|parallel\w*) limit\w*(?: \w+)?|too many concurrent \w+|"
        r"request rate \w+|rate exceeded|peer flood|limit rate",
        "rate_limited",
    ),
    R(
        3,
        r"(?:\w+ )?quota(?: \w+)?|insufficient (?:funds|balance|credits?|tokens)|billing(?: \w+)?|payment required|"
        r"(?:out of|no) credits?|credits?(?: (?:exhausted|limit|exceeded|balance))|"
        r"(?:plan|spend|spending|daily|monthly|account|subscription) limit(?: \w+)?|trial (?:expired|ended)|arrearage",
        "quota_exhausted",
    ),
    R(3, r"usage limits?(?: (?:exceeded|reached))?", "quota_exhausted", unless=("framework",)),
    R(
        3,
        r"overload(?:ed)?(?: error| exception)?|service unavailable(?: \w+)?|internal server(?: \w+)?|bad gateway(?: \w+)?|"
        r"temporar(?:y|ily) (?:unavailable|failure|error)|server (?:overloaded|busy|down|unavailable|too busy)|service (?:down|busy)|"
        r"circuit (?:breaker )?(?:open|breaker)(?: \w+)?|circuit breaker(?: \w+)?|"
        r"model (?:not ready|loading|overloaded|unavailable|busy|is loading)|"
        r"no (?:available )?(?:capacity|healthy \w+|available (?:shards|nodes|servers?|brokers?|replicas?))|insufficient capacity|"
        r"capacity exceeded|cluster (?:down|unavailable)(?: \w+)?|no (?:servers|nodes|hosts?|workers|brokers) available|"
        r"(?:too many|max(?:imum)?) connections(?: \w+)?|connection limit(?: \w+)?|backpressure|try again(?: later)?|master down|"
        r"busy loading|loading error|maintenance(?: mode)?",
        "overloaded",
    ),
    R(
        2,
        r"internal(?: service| api)?(?: error| failure| exception)|server errors?|server side error|unavailable|internal failure",
        "overloaded",
        kinds=REMOTE + ("http", "web", "mcp"),
    ),
    R(2, r"(?<!mcp )server errors?", "overloaded", kinds=("framework",)),
    R(
        3,
        r"(?:video|audio|file|page|content|data|image|document|item|product|object|resource) unavailable|"
        r"unavailable (?:video|audio|file|page|item|object)",
        "not_found",
    ),
    R(3, r"api keys? limit(?: exceeded)?", "quota_exhausted"),
    R(3, r"storage quota(?: exceeded)?", "quota_exhausted", kinds=REMOTE),
    R(2, r"unavailable|busy", "overloaded"),
    R(2, r"not available", "overloaded", kinds=("store", "cloud", "http")),
    # -- time
    R(
        3,
        r"(?:read|write|connect|connection|pool|gateway|request|socket|server|lock|wait|query|statement|operation|api|navigation|page|"
        r"script|authentication|sandbox|network|http|response|stream) ?(?:time ?outs?|timed out)(?: (?:error|exception|exceeded|"
        r"reached))?",
        "timeout",
    ),
    R(3, r"(?:bad|invalid|unsupported) (?:\w+ )*timeout(?: value)?(?: error| exception)?(?= $)", "invalid_request"),
    R(3, r"(?:time ?outs?|timed out|deadline exceeded)(?= (?:(?:error|exception) )?$)", "timeout"),
    R(
        2,
        r"time ?outs?(?: (?:error|exception|exceeded|reached|expired))?|timed out(?: \w+)?|deadline(?: exceeded)?|"
        r"time limit(?: exceeded)?|took too long",
        "timeout",
    ),
    # -- credentials and rights
    R(
        3,
        rf"unauthenticated|auth session missing|unauthori[sz]ed(?: (?:error|exception|request|access|client|user))?|"
        rf"not (?:logged in|authenticated|signed in)|"
        rf"(?:invalid|missing|bad|wrong|incorrect|expired|revoked) (?:api |webhook |access |auth |secret |security |refresh |bearer |"
        rf"client |user |login )*(?:key|credentials?|password|passphrase|grant|secret|login|auth|authentication|signature|api ?key|"
        rf"login response|access token|auth token|refresh token|security token|client token|bearer|session token|id token|oauth|"
        rf"secrets?)(?! type| version| format| operation| method){_TAIL}|"
        rf"no (?:api ?|access |auth |secret )(?:keys?|token|credentials?){_TAIL}|(?:unknown|no) credentials?{_TAIL}|api key{_TAIL}|"
        rf"(?:expired|immature|invalid) (?:signature|session(?! id| timeout)|authorization|issuer|audience|issued at|subject|jti|"
        rf"claims?)(?! type| version| method){_TAIL}|"
        rf"(?:token|signature|credentials?|password|login) (?:expired|expiration|invalid|revoked|retrieval|refresh|not (?:found|"
        rf"available|provided|set|yet valid)|missing|does not match|required|unavailable)(?: \w+)?|session (?:expired|invalid)|"
        rf"key (?:expired|revoked)|(?:no|partial|missing|default|profile|container) credentials?{_TAIL}|credentials?{_TAIL}|"
        rf"oauth2?{_TAIL}|sso{_TAIL}|mfa{_TAIL}|login{_TAIL}|refresh token(?: \w+)?|"
        rf"authenticat\w+ (?:required|failed|failure|error|exception|rejected|denied)|password (?:required|incorrect|wrong)",
        "authentication_failed",
    ),
    R(
        2,
        rf"auth(?:entication)?(?: (?:error|exception|failed|failure|required|api|key))*|authenticate|jwt{_TAIL}|not signed in|"
        rf"reauth\w*|id token(?: \w+)?|access token(?: \w+)?",
        "authentication_failed",
    ),
    R(
        2,
        r"(?:invalid|expired) tokens?(?: \w+)?|token(?: error| expired)?",
        "authentication_failed",
        kinds=("security", "cloud", "saas", "http", "web", "model_sdk", "sandbox", "search", "mcp"),
    ),
    R(2, r"invalid tokens?(?: \w+)?", "data_error", kinds=("parser", "builtin")),
    R(
        3,
        r"permissions?(?: (?:denied|error|exception|required|missing|not granted))*|forbidden(?: \w+)?|"
        r"access (?:denied|forbidden|not (?:allowed|granted|permitted))|"
        r"(?:insufficient|missing|no|invalid) (?:\w+ )?(?:permissions?|scopes?|privileges?|access|rights|role|authorization)(?: \w+)?|"
        r"privileges? (?:error|exception|required|violation)|authori[sz]ation(?: \w+)?|not (?:permitted|authori[sz]ed|entitled)|"
        r"unauthori[sz]ed operation|(?:unsupported|blocked|restricted) (?:region|country|location|user location)|"
        r"(?:region|country|location) (?:not supported|unsupported|blocked|restricted)|gated repo|disabled repo|censored|"
        r"age restricted|private (?:video|repo\w*)",
        "permission_denied",
    ),
    R(
        4,
        r"(?:account|user|tenant|customer|store|workspace|project|organi[sz]ation|member|subscription|profile|key|client)s? (?:is |has been )?"
        r"(?:suspended|disabled|deactivated|blocked|banned|restricted|inactive|frozen|locked|terminated|on hold)(?: \w+)?|"
        r"(?:suspended|disabled|banned|deactivated|restricted) (?:account|user|tenant|workspace|project|organi[sz]ation)(?: \w+)?|"
        r"(?:api )?(?:key )?scopes? (?:missing|insufficient|not granted|required)|(?:level )?scoped api key required|unauthorized client|"
        r"shared \w+ not accessible|permissions? (?:missing|required)",
        "permission_denied",
        unless=("runtime",),
    ),
    R(
        2,
        r"denied|not allowed|disallowed|security(?: exception)|read ?only(?: \w+)?|blocked|banned|suspended account|"
        r"rejected by policy",
        "permission_denied",
        unless=("guardrail", "framework"),
    ),
    R(3, r"blocked (?:message|request|content|response|input|output)", "guardrail_blocked", kinds=("framework", "mcp", "model_sdk", "guardrail")),
    R(3, r"call blocked|(?<=^ )(?:legacy )?hook blocked", "guardrail_blocked", kinds=("framework", "mcp")),
    R(3, r"(?:java ?script|js) (?:error|exception)", "code_execution_error", kinds=("browser",)),
    R(3, r"method not allowed|http method \w+|null value (?:not allowed|no indicator)(?: \w+)*", "invalid_request"),
    R(3, r"bad status(?: code)?(?: \w+)?", "exception"),
    # -- things that are not there, or there already
    R(
        3,
        r"(?:model|deployment|engine|checkpoint model|adapter) (?:not (?:found|available|exist\w*|supported|installed|deployed|"
        r"recognized)|does not exist|missing|unavailable|unknown|retired|deprecated)(?: \w+)?|"
        r"(?:unknown|invalid|no such|unsupported|missing|nonexistent|deprecated|no) (?:\w+ )?(?:model|deployment|llm)(?: (?:name|id|"
        r"error|exception))?(?= (?:error |exception )?$)",
        "model_not_found",
        kinds=("model_sdk", "framework", "search", "guardrail"),
    ),
    R(
        3,
        r"(?:key|file|path|directory|object|page|document|collection|database|table|column|row|record|index|bucket|user|session|entity|"
        r"resource|repo|repository|revision|entry|dataset|item|element|frame|window|node|task|job|thread|message|channel|project|alias|"
        r"alert|cookie|memory|memories|container|image|volume|network|secret|topic|queue|group|member|field|property|attribute|"
        r"variable|name|id|url|link|host name|namespace|schema|class|blob|artifact|prompt|template|checkpoint|branch|commit|snapshot|"
        r"backup|shard|partition|stream|event|ticker|symbol|province|run|experiment|account|tenant|organization|workspace|sandbox|"
        r"process|target|test|instance|cluster|cell|sheet|worksheet|style|version|actor|placement group|runtime env|trace|"
        r"span)s? (?:not (?:found|exists?|present)|notfound|does not exist|do not exist|does ?n t exist|no longer exists?|is missing|"
        r"missing|gone|expired|deleted|lost|evicted)(?: \w+)?",
        "not_found",
    ),
    R(
        2,
        r"not ?found(?: \w+)?|does not exist|doesnt exist|do not exist|not exists?(?: \w+)?|no such \w+(?: \w+)?|no longer exists?|"
        r"nonexistent(?: \w+)?|non existent \w+|gone|session id invalid|invalid session id|stale element(?: \w+)*|"
        r"undefined (?:table|column|object|index|file|database|schema|function|parameter)|invalid (?:catalog|schema) name|"
        r"unknown (?:table|column|database|field|index|collection|host key|symbol|user|entity|object|file|page|resource|job|task|"
        r"topic\w*)(?: \w+)*|object deleted|unresolvable(?: \w+)?",
        "not_found",
    ),
    R(1, r"deleted", "not_found"),
    R(
        3,
        r"already (?!consumed|closed)(?:\w+)(?: \w+)?|"
        r"(?:(?<!if )(?<!not )exists|duplicate[ds]?|duplicated|(?<!space )(?<!file )duplication)(?: \w+)*|"
        r"(?!escape character)(?:\w+ )?conflict(?:s|ing|ed)?(?: \w+)?|version (?:conflict|engine conflict)|"
        r"concurrent (?:modification|update|write|access|change)s?(?: \w+)?|optimistic (?:lock\w*|concurrency)(?: \w+)?|"
        r"(?:unique|foreign key|integrity|constraint) (?:violation|constraint|exception|failed)(?: \w+)*|"
        r"(?:check|not null|exclusion) (?:violation|constraint)(?: \w+)*|"
        r"constraint(?: (?:error|exception|violat\w+|failed|failure|invalid))*(?= $)|deadlock(?: \w+)*|"
        r"(?:stale|dirty) (?:data|state|write|object|version|read)|precondition failed|serialization failure|"
        r"lock (?:error|not (?:available|acquired|owned)|held|acquisition|conflict|failed|lost)(?: \w+)?|locked|optimistic|"
        r"(?<=^ )watch error|multiple results(?: \w+)?|resource in use",
        "conflict",
    ),
    # -- connections
    R(
        3,
        r"connection (?:refused|reset|closed|aborted|lost|error|failed|failure|broken|dropped|interrupted|terminated|does not exist|"
        r"exception|not open|invalid|unavailable|unstable)(?: \w+)?|"
        r"(?:cannot|can ?not|could not|failed to|unable to|not) connect(?:ed)?(?: \w+)?|"
        r"(?:network|dns|ssl|tls|socket|transport|websocket|remote|host|peer|nodename|name resolution|handshake|certificate|"
        r"upstream) (?:error|errors|failed|failure|exception|closed|unreachable|down|is down|reset|disconnected|unavailable|connection|"
        r"not known|lookup|verification|verify|verify failed|expired|validation|protocol error|down error)(?: \w+)?|"
        r"(?:broken|closed) (?:pipe|connection|socket|stream|channel|resource)|disconnect(?:ed|ion)?(?: \w+)?|unreachable(?: \w+)?|"
        r"remote (?:disconnected|protocol error|end closed)|"
        r"(?:new connection|endpoint connection|connection|name resolution|host resolution|address resolution)(?: error)|"
        r"incomplete read|chunked encoding|(?:unexpected|premature) (?:eof|end of (?:stream|file))|end of stream|"
        r"(?<=^ )stream (?:error|exception)|stream (?:closed|reset|ended|interrupted|lost|cut|terminated|connection)|"
        r"(?:invalid|bad) (?:chunk length|status line|handshake)|server disconnected|(?:not|never) connected|"
        r"(?:(?:bad|invalid|ssl|tls|client|server) )?cert(?:ificate)?s?(?: (?:error|exception|verif\w+|validat\w+|expired|revoked|"
        r"invalid|unknown|untrusted|mismatch|required|failed|failure))+|ssl(?: \w+)?|tls(?: \w+)?|hostname (?:mismatch|unresolvable)|"
        r"no route to \w+|stream lost|client payload",
        "connection_failed",
        unless=("parser",),
    ),
    R(
        2,
        r"connect(?:ion)?s?(?= (?:error|exception|failure|lost|fail))|(?:no|lost) connection|network|socket|dns|"
        r"proxy(?: connection| authentication)?(?: error| exception)?|transport|handshake|unreachable|eof(?: error)?|gaierror|chunked|"
        r"end of file",
        "connection_failed",
    ),
    R(2, r"(?:read|write|remote protocol|local protocol|payload|incomplete|transfer)(?: error)", "connection_failed", kinds=("http",)),
    R(2, r"(?<!group )protocol (?:error|exception)", "connection_failed", kinds=("http", "store")),
    # -- requests
    R(
        3,
        r"bad request(?: \w+)?|"
        r"invalid (?:request|requests|argument|arguments|param|params|parameter|parameters|input|inputs|query|option|options|usage|url|"
        r"uri|http method|operation|body|payload|header|headers|schema|address|state for query|selector|locator|xpath|coordinates|"
        r"index type|field|fields|filter|expression|date|time|datetime|timezone|range|type|types|size|length|limit|version|call|use|"
        r"syntax|parameter value|value|values|enum|cursor|page token|path|name|names|id|ids|identifier|identifiers|arn|region|bucket|"
        r"endpoint|host|scheme|proxy url|text representation|prompt|image|message|messages|role|content type|tool choice|"
        r"parameter type|parameter combination|content|schedule|action|context|session|channel|entity|json request|state)(?: \w+)?|"
        r"unprocessable(?: \w+)*|(?:param|params|parameter|parameters|argument|arguments|input|field|arg) errors?|request rejected|"
        r"not applicable|"
        r"(?:request|param|params|parameter|parameters|argument|arguments|input|query|url|field|body|header|path|arg) (?:validation|"
        r"invalid|missing|required|not valid|parse|parsing|syntax|malformed|too long|too large|mismatch|type)(?: \w+)*|"
        r"(?:missing|required|unexpected|unknown|unsupported|wrong|too many|illegal|bad|no|duplicate|incorrect|extra|mandatory|empty|"
        r"conflicting) (?:\w+ )?(?:param|params|parameter|parameters|argument|arguments|input|field|fields|keyword|kwargs?|scheme|"
        r"schema|url|header|headers|body|option|value|query)(?: \w+)?|"
        r"(?:request |payload |entity |message |content |file |body |image |string |data |upload |document |response )?(?:too large|"
        r"too long|too big|size exceeded|size limit exceeded|oversize\w*)(?: \w+)?|"
        r"(?:payload|file size|message size|size) (?:exceeded|limit|limit exceeded|error)|"
        r"malformed (?:request|query|url|input|header|arn|policy document|input)(?: \w+)?|out of range(?: \w+)?|"
        r"(?:value|range) (?:out of range|out of bounds)|cursor not found|"
        r"bad (?:search|query|option|argument|parameter|option usage|input|url|value)(?: \w+)?|usage error|not interactable(?: \w+)?|"
        r"element (?:not (?:interactable|visible|selectable)|click intercepted)(?: \w+)?|"
        r"filter error|(?:pattern|regexp?|regular expression|filter (?=\w+ )|expression|glob) ?(?:syntax |compile |compilation |parse |parsing )?"
        r"(?:error|exception|invalid|not valid|compilation)|bad \w+ (?:option|value|argument)(?: \w+)?|"
        r"(?:only one|one) of (?:\w+ )+(?:required|allowed)|cannot be (?:none|null|empty|negative|blank)|(?:must|should) be \w+|"
        r"(?:value|argument|param\w*) not (?:in|of) \w+|unexpected (?:key ?word|type)(?: \w+)?|not (?:a )?url nor id",
        "invalid_request",
    ),
    R(3, r"custom system prompt|schema type mismatch|parameter bind(?: \w+)?|(?:template|prompt) variables?(?: error| exception)?(?= $)", "invalid_request"),
    # `Missing…` and what is missing: an argument, unless another rule knows the thing.
    R(1, r"(?<=^ )missing \w+(?: \w+)*", "invalid_request"),
    R(
        2,
        r"(?<=^ )missing (?:\w+ )?(?:trace|document|result|results|pipeline|asset|file|record|row|artifact|entity|resource|page|node|"
        r"checkpoint|blob|image|reference)",
        "not_found",
    ),
    R(
        3,
        r"missing claims?|(?:signature|token) verification(?: \w+)?|no signature|(?:card|webhook|jws|message) signature(?: invalid| error| exception)?(?= $)|"
        r"workload identity|device code(?: \w+)?|oidc(?: token| auth| login| context)?(?: error| exception)?(?= $)|subject token(?: \w+)?|token exchange(?: client)?|provider key(?= )",
        "authentication_failed",
    ),
    R(3, r"(?:expired|invalid) token", "authentication_failed", kinds=("guardrail",)),
    R(
        3,
        r"(?:circular|cyclic) (?!dependency|import)\w+(?: ref(?:erence)?)?|ambiguous \w+(?: \w+)*|too deep|(?:uri|subpath) (?:error|exception)(?= $)|file size overflow|"
        r"max size (?:\w+ )*exceeded|(?:response|output|length) limit(?: exceeded)?(?= (?:error |exception )?$)|not comparable|empty mandatory \w+",
        "invalid_request",
    ),
    R(1, r"(?:length|item|method|argument|count|shape) mismatch|\w+ required(?= (?:error |exception )?$)|only for \w+", "invalid_request"),
    R(2, r"(?:session|thread|run|agent|conversation) busy|concurrent invocation|stale file|directory not empty|id in use|path taken|(?<=\w )unique(?= (?:error|exception) )|not (?:cancell?able|continuable|paused|published|editable|deletable)|archived|(?<=^ )concurrency(?= (?:error|exception) )|draft required", "conflict"),
    R(2, r"(?<!model )(?<!index )not ready(?: yet)?|slow consumer", "overloaded"),
    R(2, r"no items found|no deployments|unknown (?:conversation|session|thread|run|handle|stream|interrupt)", "not_found"),
    R(3, r"missing in image", "missing_dependency"),
    R(3, r"exceeded capacity|(?:inbox|mailbox|chan|channel|queue) full|depth (?:limit )?exceeded", "resource_exhausted"),
    R(3, r"kernel died|shell command(?= (?:error|exception) )|sandbox command(?= (?:error|exception) )", "code_execution_error"),
    R(2, r"endpoint retired|retired|support required|capability(?= (?:error|exception) )|missing capabilities|no back channel", "unsupported"),
    R(1, r"compatibility|(?:in|not )compatible", "unsupported"),
    R(2, r"canonicali[sz]ation|invalid agent response|provider response(?= error )", "data_error"),
    R(2, r"(?<=\w )security error", "guardrail_blocked", kinds=("framework", "mcp", "sandbox")),
    R(2, r"security error", "permission_denied", kinds=("builtin",)),
    R(2, r"connection (?:draining|reconnecting)|(?:channel|chan|link|pipe) closed|subscription lost|secure connection(?: \w+)*", "connection_failed"),
    R(2, r"no servers", "connection_failed", kinds=("store",)),
    R(1, r"protected \w+", "permission_denied"),
    R(2, r"read only(?= (?:error|exception) )", "permission_denied", kinds=("framework",)),
    R(3, r"internal provider", "overloaded", kinds=("framework", "model_sdk")),
    R(2, r"circuit(?= error )", "overloaded"),
    R(3, r"(?<=^ )stall(?:ed)?(?= error )", "timeout"),
    R(3, r"(?:is |not )directory(?= (?:error|exception) )|message order|headers overflow", "invalid_request"),
    R(3, r"content type negotiation", "invalid_request"),
    R(3, r"no binary found", "missing_dependency"),
    # What a request contains is `invalid_request`; what a file of the program or the answer of a peer contains is not.
    R(
        4,
        r"(?:invalid|malformed|bad) (?:\w+ )?(?:checkpoint|artifact|lock ?file|shape(?: reference)?|manifest|model file|weights|pipeline snapshot|wheel|"
        r"(?:headers|payload) length|batch response|api response format)(?: error| exception)?(?= $)|invalid api response format",
        "data_error",
    ),
    R(4, r"invalid (?:body|frame|chunk|content) length", "connection_failed", kinds=("http",)),
    R(3, r"response (?:exceeded max size|body too large|too large|limit)(?: error| exception)?(?= $)", "data_error"),
    # The normal end of what a generator yields.
    R(4, r"ref stream end of stream|(?<=^ )eof stream", "control_flow"),
    R(4, r"mcp server error", "exception"),
    R(4, r"(?:org|workspace|organi[sz]ation|team) member limit(?: exceeded)?", "quota_exhausted"),
    R(4, r"(?:continue|run|request) in flight", "conflict"),
    R(4, r"not enrolled(?: in \w+)?|creator not (?:a )?member", "permission_denied"),
    R(3, r"feature support|(?:only )?supports? async|f ?16 support|browser only", "unsupported"),
    R(1, r"(?<!^ )missing(?= $)", "not_found"),
    R(1, r"(?<=^ )(?:no|unknown|invalid|incorrect|unrecognized) \w+(?: \w+)?(?: specified| provided| given| passed| set)", "invalid_request"),
    R(
        2,
        r"validation(?: error| exception| failed| failure| errors)?|invalid (?:request|value|operation|argument|name|state)(?: error)?|"
        r"illegal \w+(?: \w+)?|type (?:error|mismatch)|value error|not acceptable|length required|failed precondition|bad",
        "invalid_request",
        unless=("parser", "builtin", "guardrail"),
    ),
    R(3, r"(?<!type )(?<=\w )value error", "data_error", kinds=("builtin", "parser")),
    R(
        3,
        r"type(?: error| mismatch)|(?<=^ )value error|attribute error|key error|index error|name error|assertion(?: error)?|lookup error|"
        r"arithmetic error|zero division|overflow error|reference error|illegal (?:state|monitor state|thread state)|unbound local",
        "exception",
        kinds=("builtin",),
    ),
    # -- unsupported, data
    R(
        3,
        r"not (?:implemented|supported|yet implemented|yet supported)(?: \w+)?|unimplemented(?: \w+)?|"
        r"unsupported (?:operation|feature|platform|protocol|compression|algorithm|version|format|file|type|file type|file format|"
        r"document|image|language|capability|engine|backend|browser|method|encoding|python|extension|task|"
        r"tool choice|function)(?: \w+)*|feature not (?:supported|available|implemented|enabled)(?: \w+)?|cannot \w+ unsupported|"
        r"does not support|no longer supported|deprecat\w+(?: \w+)?|removed in \w+(?: \d)?",
        "unsupported",
    ),
    R(2, r"unsupported(?: \w+)*", "unsupported"),
    # A feature, a driver, an operation or a protocol that is not there is `unsupported`; a value in the request that is not taken (its type,
    # version, language, format, encoding) is not.
    R(4, rf"unsupported (?:\w+ ){{0,3}}?{_VALUE}s?(?: (?!operation|plot)\w+)?(?= )", "invalid_request"),
    R(4, rf"(?<!organization )(?<!account ){_VALUE}s? (?:not support(?:ed)?|unsupported)(?= (?:error |exception |fault )?$)", "invalid_request"),
    R(5, r"unsupported (?:protocol|api protocol|service protocols?|model|tls|http|server|client|browser|python|postgres|database) versions?|"
      r"(?:protocol|tls|http|server|client|postgres|tunnel) (?:unsupported versions?|versions? (?:not supported|unsupported))|protocol version unsupported|"
      r"(?:organization type|bundle attachment) not supported", "unsupported"),
    R(2, r"unsupported params?|unsupported (?:param|parameter)s?(?: \w+)?", "invalid_request"),
    R(
        3,
        r"(?:unicode|decode|decoding|encode|encoding|deserialization|deserialisation|deserialize|serialization|serialize|serializer|"
        r"conversion|converter|marshal|unmarshal|unpack|pickle|pickling|decompression|compression|checksum|parse|parser|parsing|pdf|"
        r"xml|csv|html|yaml|toml|docx|xlsx|zip|bad zip|tar|archive|xpath|xslt|dtd|markdown|unpickling|crc|hash|digest|integrity check|"
        r"consistency) (?:error|errors|exception|failed|failure|mismatch|syntax error|read error|parse error|not (?:valid|parsable))|"
        r"(?:file |data )?corrupt\w*(?: \w+)?|bad zip(?: \w+)?|"
        r"(?:invalid|malformed|bad|broken|wrong|unexpected|unknown|unrecognized|truncated|empty|damaged) (?:file|file format|format|"
        r"data|pdf|xml|csv|html|yaml|document|zip|archive|image file|stream|encoding|response|response format|base64|magic|workbook|"
        r"block|hash|checksum|frame|message format|utf8|unicode|markup|tag|dump|result|results|block size|gzip|jpeg|png)(?: \w+)?|"
        r"(?:untranslatable|not in repertoire)(?: \w+)?|"
        r"data (?:error|corrupted|exception|loss|format|conversion|validation|integrity)(?: \w+)?|cast(?: error)?|"
        r"(?:parse|decode|encode|conversion|deserialization|serialization)|parsing|unparsable|"
        r"cannot (?:parse|decode|convert|read)(?: \w+)?|(?:could|can) not (?:parse|decode|convert)(?: \w+)?",
        "data_error",
    ),
    R(
        3,
        r"(?:image|video|audio|font|excel|document|file|reader?) (?:error|exception|decode error|conversion \w+)",
        "data_error",
        kinds=("parser",),
    ),
    R(4, r"(?<=^ )syntax error", "data_error", kinds=("http",)),
    R(4, r"(?:pdf|ps|xml|html|css|yaml|toml) (?:interpreter|syntax)(?: error)?", "data_error", kinds=("parser",)),
    R(3, r"(?:unexpected |premature )?(?:eof|end of (?:stream|file))", "data_error", kinds=("parser",)),
    R(2, r"malformed(?: \w+)?", "data_error"),
    R(1, r"parse\w*|decod\w+|encod\w+|serializ\w+|format|conversion|syntax|malformed|corrupt\w*", "data_error"),
    R(1, r"invalid (?!error|exception)\w+", "data_error", kinds=("parser",)),
    R(
        1,
        r"invalid \w+(?: \w+)?|wrong \w+|bad \w+|illegal|unexpected \w+ type|not valid",
        "invalid_request",
        unless=("parser", "builtin", "guardrail"),
    ),
    # -- vetoes: words that look like a cause and are none in this kind of package
    # PEP 249's InternalError is the base of everything that a database reports about itself; with the name of a server it is a 5xx.
    R(3, r"database error|disk i o error|(?<=^ )internal (?:error|exception)", "exception", kinds=("store", "builtin")),
    R(3, r"(?<=\w )internal (?:error|exception)(?= $)", "overloaded", kinds=("store",)),
    R(3, r"interface error|operational error", "exception"),
    R(3, r"(?<!call )integrity error", "conflict"),
    R(3, r"not supported error", "unsupported", kinds=("store", "builtin")),
    R(
        3,
        r"too many redirects(?: \w+)?|redirect(?: loop| error)|unknown (?:error|exception|failure)|unexpected (?:error|exception)|"
        r"unhandled (?:error|exception)",
        "exception",
    ),
    R(
        4,
        r"(?<=^ )(?:hf |hf hub |hub |masked |gitlab |github |ftp |remote )?(?:hub )?(?:http|http status|http response|http request|api|api status|"
        r"api response|request|response|client response|rest|rest api) (?:error|exception)(?= $)",
        "exception",
    ),
    R(3, r"tokeni[sz](?:er|ation)(?: \w+)?", None),
]

# Words of a name that carry no cause. A name of these and the package's own words only is a general base class.
_GENERIC = frozenset(
    """error errors exception exceptions err failure failed fault api client base sdk library lib internal core common general generic http
    request response service runtime application app unknown other unexpected custom unhandled status code server operation user
    llm model provider tool function agent task chain node component step pipeline run flow graph action plugin kernel workflow
    execution invocation call result known my db database driver remote command backend web page exceptionbase abstract root main
    system process processing driver engine adapter handler manager middleware module integration store vector dbapi dialect statement
    sql query bulk batch storage cloud warning problem""".split()
)

# Sentences of documentation and messages as raised. Stricter than the rules on names: prose mentions many things.
TEXT_RULES = [
    ("control_flow", r"control[- ]flow (?:exception|signal|sentinel)|semi-predicate|hooks? to skip|signals? that flow execution should pause"),
    (
        "rate_limited",
        r"rate.?limit(?:ed|s)? (?:exceeded|reached|hit|error|is exceeded|has been)|too many requests|throttled|\b429\b|"
        r"exceed\w* (?:the |its |your )?(?:api )?rate limit|rate limit(?:s|ing)? (?:exceeded|reached|is)|flood wait",
    ),
    (
        "quota_exhausted",
        r"quota (?:is |has been |was )?(?:exceeded|exhausted|reached)|exceed\w* (?:the |its |your )?(?:\w+ )?quota|"
        r"insufficient (?:funds|credits?|balance)|out of credits|\b402\b|payment required|usage limit (?:exceeded|reached)",
    ),
    (
        "overloaded",
        r"service (?:is )?(?:temporarily |currently )?unavailable|server (?:is )?(?:overloaded|busy)|internal server error|"
        r"\b50[023]\b (?:error|status|response)|status (?:code )?50[023]\b|is (?:temporarily|currently) (?:unavailable|overloaded)|"
        r"bad gateway|overloaded",
    ),
    ("run_timeout", r"(?:workflow|agent run|graph|flow|crew) (?:\S+ )?(?:timed out|exceed\w+ (?:the |its )?(?:timeout|time limit))"),
    (
        "timeout",
        r"timed? ?out\b|time-?out (?:occurred|expired|exceeded|reached|was)|took too long|deadline exceeded|"
        r"exceed\w* (?:the |its )?(?:timeout|time limit|deadline)|timeout (?:error|exception)|"
        r"not (?:complete|finish|respond)\w* (?:with)?in (?:the )?(?:time|timeout|allotted|given)",
    ),
    (
        "connection_failed",
        r"connection (?:to (?:the )?\S+ )?(?:is |was |has been |to .{0,30})?(?:refused|reset|closed|lost|aborted|failed|dropped|broken|"
        r"could not be)|"
        r"(?:cannot|can't|could not|couldn't|unable to|failed to|fails? to|failure to) (?:\w+ )?(?:connect|establish|resolve (?:host|"
        r"the host)|reach (?:the )?(?:server|host|api|endpoint|service))|network (?:error|failure|problem|issue|is unreachable)|"
        r"dns (?:lookup|resolution)|\bssl\b.{0,30}(?:error|fail)|certificate (?:verif|valid)|error (?:while )?connecting|"
        r"connection (?:error|problem|issue|failure)|not connected|disconnected",
    ),
    (
        "authentication_failed",
        r"\b401\b|unauthenticated|authentication (?:is |has )?(?:failed|fails|failure|error|required|problem|issue)|"
        r"(?:invalid|missing|incorrect|wrong|expired) (?:\w+ )?(?:api[ _-]?key|credentials?|access token|password|auth token|token)|"
        r"(?:api[ _-]?key|credentials?|access token|password) (?:\S+ )?(?:is |are |was |were |has |must be |"
        r"could )?(?:not (?:been )?(?:set|provided|found|valid|be found|configured|specified)|missing|invalid|incorrect|required|"
        r"expired|revoked|wrong)|no (?:\w+ )?(?:api[ _-]?key|credentials?)|not (?:logged in|authenticated)|fails? to authenticate|"
        r"(?:couldn't|could not|unable to) (?:authenticate|log in|locate credentials)|"
        r"please (?:set|provide|pass|specify) (?:\S+ ){0,3}api.?key",
    ),
    (
        "permission_denied",
        r"\b403\b|permission(?:s)? (?:is |was )?denied|access (?:is |was |to .{0,30} )?(?:denied|forbidden)|"
        r"(?:not|insufficient|lacks?|lack of|do(?:es)? not have|don't have|without|no) (?:\w+ )?(?:the )?(?:\w+ )?(?:permissions?|"
        r"privileges?|access rights?|authorized)\b|not (?:allowed|permitted|authorized) to",
    ),
    (
        "model_not_found",
        r"(?:model|deployment) (?:\S+ )?(?:is |was |could )?(?:not (?:be )?(?:found|exist|available|recognized)|does not exist|"
        r"doesn't exist)|(?:unknown|no such|invalid) model\b",
    ),
    (
        "unknown_tool",
        r"(?:tool|function) (?:\S+ )?(?:is |was |could )?(?:not (?:be )?(?:found|registered|known|available|exist)|does not exist|"
        r"doesn't exist)|(?:unknown|no such|unavailable|non-?existent) tool\b|no tool (?:named|called|with (?:the )?name|found)",
    ),
    (
        "invalid_tool_arguments",
        r"(?:tool|function)(?: call)?(?:'s)? (?:\S+ )?(?:arguments?|inputs?|parameters?) (?:\S+ )?(?:is |are |was |were |could |do |"
        r"does |failed )?(?:not |invalid|malformed|validation)|"
        r"invalid (?:arguments?|inputs?|parameters?) (?:for|to|in) (?:the )?(?:tool|function)\b",
    ),
    (
        "context_window_exceeded",
        r"context (?:window|length|size|limit) .{0,40}exceed|"
        r"exceed\w* .{0,40}(?:context (?:window|length|size|limit)|(?:max(?:imum)? )?(?:number of )?(?:input |prompt )?tokens?\b)|"
        r"maximum context|(?:prompt|input|sequence) (?:is |was )?too long",
    ),
    (
        "output_truncated",
        r"(?:max(?:imum)? (?:output |completion )?tokens?|max_tokens|length limit|token limit) .{0,20}(?:was |is |has been )?reached|"
        r"(?:output|response|completion|generation) (?:\S+ )?(?:is |was |has been |got )?(?:truncated|incomplete|cut off)|"
        r"finish.?reason.{0,20}length",
    ),
    (
        "safety_filter",
        r"content (?:filter|policy|moderation)|safety (?:filter|settings|reasons|policy|system)|"
        r"blocked (?:by|due to|for) .{0,20}(?:safety|content|policy)|flagged (?:by|as|for)",
    ),
    (
        "guardrail_blocked",
        r"guardrail .{0,40}(?:trigger|block|violat|fail|reject)|(?:block|reject|fail)\w* by .{0,30}guardrail|tripwire|captcha|"
        r"prompt injection|bot detection|hook (?:blocked|denied|returned false)|(?:allow|deny|block|white|black)-?list\b|(?:url|file|host|egress|network|upload|domain|tool|security)[ _]polic(?:y|ies)|"
        r"violates? (?:a |the |an |\w+'s )?(?:\w+ )?policy|policy violation|\bssrf\b|path traversal|(?:escapes?|outside) (?:of )?(?:the |its )?"
        r"(?:\w+ )?(?:workspace|allowed|configured|sandbox|root|base) ?(?:root|directory|directories|paths?|folder)?\b|is not an allowed|"
        r"unsafe (?:url|path|zip|tar|command|redirect)|would escape",
    ),
    ("model_refusal", r"model (?:\S+ )?refus"),
    (
        "max_iterations_reached",
        r"(?:max(?:imum)?|limit)(?: number of)? (?:\S+ )?(?:turns|iterations|steps|rounds|tool calls|loops) .{0,30}(?:exceed|reach|"
        r"hit)|exceed\w* .{0,20}(?:max(?:imum)? )?(?:number of )?(?:turns|iterations|steps|rounds|tool calls)|"
        r"(?:iteration|step|turn|recursion) limit .{0,30}(?:reach|exceed|hit)|within the maximum (?:iterations|steps|turns|rounds)",
    ),
    ("token_budget_exhausted", r"budget (?:\S+ )?(?:is |was |has been )?(?:exceeded|exhausted|reached)|exceed\w* .{0,20}budget"),
    (
        "malformed_json",
        r"(?:invalid|malformed|not valid|not a valid|isn't valid) json|(?:parse|parsing|decode|decoding) (?:\w+ )?(?:as |the )?json|"
        r"json (?:\S+ )?(?:could not|cannot|can't|failed to|(?:decode|parse|parsing|decoding) (?:error|fail))",
    ),
    (
        "schema_violation",
        r"(?:does not|doesn't|did not|not|fails? to) (?:match|conform|comply|satisfy|validate|fit)\w* .{0,40}(?:schema|response.?model|"
        r"response.?format|output.?type)|schema (?:validation|mismatch)|(?:output|response) validation",
    ),
    (
        "empty_output",
        r"(?:empty|no) (?:response|output|completion|content|choices|candidates|message) (?:\S+ )?(?:from (?:the )?(?:model|llm|api)|"
        r"returned|generated|was|received)|(?:model|llm) (?:\S+ )?returned (?:an )?(?:empty|no) ",
    ),
    (
        "empty_retrieval",
        r"no (?:search )?results? (?:\S+ )?(?:were |was )?(?:found|returned)|"
        r"no (?:relevant )?documents? (?:were |was )?(?:found|retrieved)",
    ),
    (
        "retriever_error",
        r"(?:embedding|vector)s? (?:\S+ )?dimension|dimension\w* .{0,30}(?:mismatch|not match|does not match)|"
        r"(?:index|collection|vector store) (?:\S+ )?(?:is |was |has )?(?:not (?:been )?(?:ready|built|loaded|initiali[sz]ed))",
    ),
    (
        "code_execution_error",
        r"non-?zero (?:exit|status|return)|exit(?:ed)? (?:with )?(?:code|status)|"
        r"(?:code|command|script|cell) (?:\S+ )?(?:execution )?(?:failed|fails|error)|syntax error",
    ),
    (
        "missing_dependency",
        r"(?:is|are|was|be) not installed|pip install|npm (?:i|install) |"
        r"(?:package|module|library|dependency|dependencies) (?:\S+ )?(?:is |are |was |were |could )?(?:not (?:be )?(?:found|installed|"
        r"available|imported)|missing|required)|(?:please|must|need to|to) install|(?:could not|cannot|failed to|unable to) import|"
        r"executable (?:\S+ )?(?:was )?not found|not found (?:on|in) (?:the )?\$?PATH\b",
    ),
    (
        "resource_exhausted",
        r"out of (?:memory|disk|space)|(?:not enough|insufficient) (?:gpu )?(?:memory|disk|space|resources)|no space left|"
        r"memory (?:limit|usage) .{0,20}exceed|too many open files|recursion (?:depth|limit)",
    ),
    (
        "misconfiguration",
        r"(?:configuration|config|setting|environment variable) (?:\S+ )?(?:is |are |was |were |has |must |could )?(?:not (?:been |"
        r"be )?(?:set|found|provided|valid|configured)|missing|invalid|incorrect|malformed|be set)|"
        r"(?:invalid|missing|incorrect|wrong|bad|improper) (?:configuration|config|setting|environment variable)|misconfigur\w+|"
        r"(?:incorrectly|wrongly|improperly) (?:configured|defined)|defined incorrectly|"
        r"(?:is|are) not (?:properly |correctly )?configured|improperly configured|configuration (?:error|problem|issue)",
    ),
    ("run_cancelled", r"(?:was|is|been|got|were) (?:cancell?ed|aborted|revoked|killed|terminated|interrupted)|cancell?ed by"),
    (
        "conflict",
        r"already (?:exists?|in use|registered|defined|running|started|open|been)|modified concurrently|concurrent(?:ly)? (?:modif|updat|writ)\w+|\bis stale\b|\bduplicate\b|\bconflicts? with|\b409\b|"
        r"(?:unique|foreign key|integrity) constraint|deadlock|version conflict",
    ),
    (
        "not_found",
        r"\b404\b|(?:is|was|were|are|be|could|can) ?not (?:be )?found|does not exist|doesn't exist|do not exist|did not exist|"
        r"no such (?:file|table|column|index|collection|key|object|element|directory|user|database)|not found\b|"
        r"(?:cannot|can't|could not|couldn't|unable to|failed to) (?:find|locate)|no longer exists?",
    ),
    (
        "unsupported",
        r"(?:is|are|was|does|do|currently|yet) not (?:yet |currently |be )?(?:support\w*|implemented)|doesn't support|don't support|"
        r"isn't supported|aren't supported|unsupported|not (?:yet |currently )?(?:supported|implemented)|can ?not be used with|"
        r"only supported",
    ),
    (
        "invalid_request",
        r"(?:request|url|uri|argument|parameter|option)s? (?:is|are|was|were) invalid|(?:is|was|are) used incorrectly|an? invalid \w+ is (?:used|given|passed)|"
        r"\b(?:400|422)\b|bad request|invalid (?:request|argument|parameter|input|value|option|query|url)s?|"
        r"(?:argument|parameter|option|field|input|value)s? (?:\S+ )?(?:is|are|was|were|must|should|cannot|can't) |"
        r"must (?:be(?! (?:called|rendered|initiali[sz]ed|fitted|reopened|running|started|awaited)\b)|have|not be|provide|specify|contain)\b|missing (?:a |the )?required|required (?:argument|parameter|field)s?|"
        r"expected .{1,60}(?:,? (?:but )?(?:got|found|received|was))|too large|only one of|(?:at least|exactly|either) one of|you must",
    ),
    (
        "data_error",
        r"(?:cannot|can't|could not|couldn't|unable to|failed to|fails? to|error|failure) (?:while |when |in |during )?(?:be )?(?:pars|"
        r"decod|encod|deserializ|serializ|convert|unpack|read|extract|load)\w*|corrupt\w*|malformed|"
        r"(?:invalid|unknown|unexpected|unrecognized|bad|broken) (?:\w+ )?(?:format|data|file|encoding|pdf|xml|header|signature|"
        r"checksum|document|image)",
    ),
]
_TEXT_RULES = [(condition, re.compile(pattern, re.IGNORECASE)) for condition, pattern in TEXT_RULES]
assert all(condition in CONDITIONS for condition, _ in _TEXT_RULES)

# A pair of which the first is the more exact reading of the same words.
_REFINES = {
    ("quota_exhausted", "rate_limited"), ("model_not_found", "not_found"), ("unknown_tool", "not_found"), ("missing_dependency", "not_found"),
    ("authentication_failed", "not_found"), ("authentication_failed", "invalid_request"), ("misconfiguration", "not_found"),
    ("invalid_tool_arguments", "invalid_request"), ("context_window_exceeded", "invalid_request"), ("schema_violation", "invalid_request"),
    ("malformed_json", "data_error"), ("run_timeout", "timeout"), ("missing_dependency", "invalid_request"), ("authentication_failed", "misconfiguration"),
    ("misconfiguration", "invalid_request"), ("timeout", "connection_failed"), ("unsupported", "invalid_request"), ("permission_denied", "invalid_request"),
    ("not_found", "invalid_request"), ("conflict", "invalid_request"), ("retriever_error", "invalid_request"), ("output_truncated", "context_window_exceeded"),
    ("authentication_failed", "permission_denied"), ("empty_retrieval", "not_found"), ("data_error", "invalid_request"), ("rate_limited", "invalid_request"),
    ("resource_exhausted", "invalid_request"), ("connection_failed", "overloaded"), ("safety_filter", "guardrail_blocked"), ("permission_denied", "not_found"),
    ("max_iterations_reached", "invalid_request"), ("connection_failed", "invalid_request"), ("missing_dependency", "unsupported"), ("missing_dependency", "misconfiguration"),
    ("model_not_found", "unsupported"), ("code_execution_error", "data_error"), ("model_not_found", "invalid_request"), ("unknown_tool", "invalid_request"),
}  # fmt: skip

_SUFFIX = re.compile(r"(?: (?:error|exception|err|failure|fault))+$")
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_JOIN = [
    (re.compile(pattern), joined)
    for pattern, joined in [
        (r"\btime out(s?)\b", r"timeout\1"),
        (r"\bj son\b", "json"),
        (r"\bo auth\b", "oauth"),
        (r"\bweb socket\b", "websocket"),
        (r"\bapi ?keys?\b", "api key"),
        (r"\bun (authorized|authorised|authenticated|supported|available|processable|expected|known)\b", r"un\1"),
        (r"\bnotfound\b", "not found"),
        (r"\b(rate|quota|context)limit", r"\1 limit"),
        (r"\btimedout\b", "timed out"),
        (r"\bmis config", "misconfig"),
        (r"\bdata base\b", "database"),
        (r"\bhost name\b", "hostname"),
        (r"\bunau tho?r", "unauthor"),
        (r"\bover loaded\b", "overloaded"),
        (r"\bnetwork x\b", "networkx"),
        (r"\bgit hub\b", "github"),
        (r"\bopen ai\b", "openai"),
        (r"\blang chain\b", "langchain"),
        (r"\bc onnect", "connect"),
        (r"\bdup key\b", "duplicate key"),
        (r"\bhand off\b", "handoff"),
        (r"\bnot exist(?=s? )", "not exist"),
        (r"\bre captcha\b", "captcha"),
        (r"\bdead lock\b", "deadlock"),
        (r"\bmax(?:imum)? num(?:ber)? of\b", "max"),
        (r"\bretries\b", "retries"),
        (r"\bp df\b", "pdf"),
        (r"\bi pv (\d)\b", r"ipv\1"),
        (r"\bhttps?\b", "http"),
        (r"\bauthz\b", "authorization"),
        (r"\bauthn\b", "authentication"),
        (r"\bcfg\b", "config"),
        (r"\bconn\b", "connection"),
        (r"\bperms?\b", "permission"),
        (r"\bopts\b", "options"),
        (r"\bunknow\b", "unknown"),
        (r"\bgpt\b", "gpt"),
        (r"\bnon zero\b", "nonzero"),
        (r"\bun ?auth\b", "unauthorized"),
        (r"\bcreds?\b", "credentials"),
        (r"\brecv\b", "read"),
        (r"\bsend error\b", "write error"),
        (r"\bdep\b", "dependency"),
        (r"\bcontent filtered\b", "content filtered"),
    ]
]


@lru_cache(maxsize=65536)
def words(name: str) -> str:
    """The words of a class or enum member in lower case: `AI_APICallError` -> `ai api call error`."""
    last = re.split(r"[.:/$#]", name.rstrip("."))[-1]
    spaced = " ".join(match.group(0).lower() for match in _CAMEL.finditer(last.replace("_", " ")))
    for pattern, joined in _JOIN:
        spaced = pattern.sub(joined, spaced)
    return spaced


def from_status(status) -> str | None:
    """The condition of an HTTP status; None for one that is no error."""
    try:
        number = int(status)
    except (TypeError, ValueError):
        return None
    if number in HTTP_STATUS:
        return HTTP_STATUS[number]
    if 400 <= number < 500:
        return "invalid_request"
    return "overloaded" if 500 <= number < 600 else None


def from_name(name: str, kind: str | None = None, top_words: frozenset[str] = frozenset()) -> tuple[str | None, int, str]:
    """(condition, tier, rule) that the words of a name say; tier 0 if they say nothing."""
    phrase = f" {words(name)} "
    head = len(_SUFFIX.sub("", phrase.rstrip()))
    best = (0, -1, -1)
    found = (None, 0, "")
    for rule in NAME_RULES:
        if not rule.applies(kind):
            continue
        for match in rule.pattern.finditer(phrase):
            # The trailing "error" belongs to every name: it does not make a rule end later.
            end = len(_SUFFIX.sub("", phrase[: match.end()]))
            # A single usual word that only qualifies the head ("connection" in ConnectionLangCodeEmpty) is a weak hint.
            tier = rule.tier
            if tier == 2 and end < head and " " not in match.group(0):
                tier = 1
            key = (tier, end, match.end() - match.start())
            if key > best:
                best = key
                found = (rule.condition, tier, rule.label[:40])
    if found[0] == "connection_failed" and kind != "builtin" and is_general(name, top_words):
        # The base class of a package that is about connections: `DNSException`, `WebSocketException`.
        return "exception", 2, "general name"
    return found


def is_general(name: str, package_words: frozenset[str] = frozenset()) -> bool:
    """Whether a name has no word of its own: a package's base class (`OpenAIError`, `APIException`)."""
    own = [word for word in words(name).split() if word not in _GENERIC and not word.isdigit()]
    joined = "".join(own)
    return not own or all(word in package_words for word in own) or joined in package_words


def from_text(text: str) -> str | None:
    """The condition that a sentence or a message states, if it states one."""
    found: list[str] = []
    for condition, pattern in _TEXT_RULES:
        if pattern.search(text) and condition not in found:
            found.append(condition)
    kept = [one for one in found if not any((other, one) in _REFINES for other in found)]
    return kept[0] if len(kept) == 1 else None


def first_sentence(doc: str) -> str:
    """The first sentence of a documentation string, in one line of bounded length."""
    paragraph = re.split(
        r"\n\s*\n|\n\s*(?:Args|Attributes|Parameters|Example|Examples|Note|See|\.\. |:param|@param|@example)", doc.strip(), maxsplit=1
    )[0]
    line = " ".join(paragraph.split())[:400]
    match = re.match(r"(.+?[.!?])(?:\s|$)(?!\w\.)", line)
    return match.group(1) if match and len(match.group(1)) > 12 else line


def derive(name, doc="", status=None, base_condition=None, module="", message_templates=(), *, kind=None):
    """(condition, how) of an error class. The condition is None when nothing says more than the base class does.

    name: class name, possibly qualified (`openai.RateLimitError`, `sqlx::Error::PoolTimedOut`); doc: its documentation;
    status: HTTP status it stands for; base_condition: the (resolved) condition of its base; module: module or package, which decides how
    ambiguous words are read; message_templates: messages it is raised with; kind: kind of package if `module` does not tell.
    """
    kind = kind or kind_of_module(module)
    package_words = frozenset(re.findall(r"[a-z0-9]+", module.lower())) | frozenset([re.sub(r"[^a-z0-9]", "", module.lower())])
    package_words |= frozenset(word.removesuffix("s") for word in package_words)
    if words(name).endswith("warning"):
        return None, "warning"
    top = module.lower().removeprefix("npm:").removeprefix("pypi:").replace("/", ".").split(".")[0]
    top_words = frozenset(re.findall(r"[a-z0-9]+", top.replace("_", " "))) | {re.sub(r"[^a-z0-9]", "", top)}
    top_words |= frozenset(word.removesuffix("s") for word in top_words)
    condition, tier, rule = from_name(name, kind, top_words)
    if tier >= 2 and condition != "exception":
        if condition == "guardrail_blocked" and (str(status) == "403" or base_condition == "permission_denied"):
            return "permission_denied", "status"  # a rule of the service, not of the application
        if condition is not None:
            return condition, f"name:{rule}"
    general = is_general(name, package_words)
    numbered = re.search(r"(?:http|error|status|code)_?([45]\d\d)(?!\d)|([45]\d\d)(?:error|exception)?$", name.lower())
    by_status = from_status(numbered.group(1) or numbered.group(2)) if numbered else None if general else from_status(status)
    if status and str(status).startswith("5") and re.search(r" (?:internal|server|service) error $", f" {words(name)} "):
        by_status = from_status(status)
    if by_status:
        return by_status, "status"
    specific_base = base_condition not in (None, "", "exception")
    if specific_base:
        return None, "base"
    # The documentation of a class of a package wins over a name that is known to say nothing, except for what a class is about by its name.
    known = condition == "exception" and (tier >= 4 or (tier == 3 and (kind == "builtin" or re.search(r" (?:already|closed|consumed) ", f" {words(name)} "))))
    if doc and not general and not known:
        sentence = first_sentence(doc)
        if not re.search(r"\bbase (?:class|exception|error)|\b(?:parent|root|superclass) ", sentence, re.IGNORECASE):
            by_doc = from_text(sentence)
            if by_doc:
                return by_doc, "doc"
    if (tier == 1 and condition is not None) or (tier >= 3 and condition == "exception"):
        return condition, f"name:{rule}"
    templates = [text for text in message_templates or () if text and len(text) > 8]
    # Classes of a layer (`TransportError`, `SandboxAPIError`) are raised for whatever happens in it, also where one message is known.
    if templates and not general and not re.search(r" (?:api|transport|stream|server|client|store|processing|processor|driver|provider) error $", f" {words(name)} "):
        said = [from_text(text) for text in templates]
        known = [one for one in said if one]
        # Messages are many-sided; only what is unlikely to be said by the way counts.
        agreed = bool(known) and len(known) * 2 > len(templates) and known.count(known[0]) == len(known)
        if agreed and (known[0] in _SAID_PLAINLY or (len(known) == len(templates) and known[0] in _SAID_BY_ALL)):
            return known[0], "messages"
    if condition == "exception":
        return condition, f"name:{rule}"
    if general:
        return "exception", "general name"
    return None, "base"


_SAID_PLAINLY = frozenset(
    "authentication_failed missing_dependency unsupported rate_limited quota_exhausted context_window_exceeded".split()
)
# With one message, or with all of them saying the same, the message is what the class stands for. A time-out, a conflict or a guardrail is
# mentioned by the way more often.
_SAID_BY_ALL = _SAID_PLAINLY | frozenset(
    "invalid_request not_found data_error permission_denied connection_failed misconfiguration overloaded code_execution_error".split()
)

_CHECKS = [
    # (name, module, kind, status, base, expected)
    ("RateLimitExceededError", "x", None, None, None, "rate_limited"),
    ("TooManyRequests", "google.api_core.exceptions", None, 429, None, "rate_limited"),
    ("ResourceExhausted", "google.api_core.exceptions", None, 429, None, "rate_limited"),
    ("ResourceExhaustedError", "x", None, None, None, "resource_exhausted"),
    ("GraphRecursionError", "langgraph.errors", None, None, None, "max_iterations_reached"),
    ("MaxTurnsExceeded", "agents.exceptions", None, None, None, "max_iterations_reached"),
    ("ModelNotFoundError", "x", "framework", None, None, "model_not_found"),
    ("NotFoundError", "openai", None, 404, None, "not_found"),
    ("KeyNotFound", "x", None, None, None, "not_found"),
    ("ValidationError", "pydantic_core", None, None, None, "schema_violation"),
    ("RequestValidationError", "fastapi.exceptions", None, None, None, "invalid_request"),
    ("ParamValidationError", "botocore.exceptions", None, None, None, "invalid_request"),
    ("TimeoutConfigError", "x", None, None, None, "misconfiguration"),
    ("ConfigTimeoutError", "x", None, None, None, "timeout"),
    ("ConnectionPoolTimeout", "x", None, None, None, "timeout"),
    ("ConnectTimeout", "requests", None, None, None, "timeout"),
    ("InvalidToken", "telegram.error", "saas", None, None, "authentication_failed"),
    ("TooManyRedirects", "requests", None, None, None, "exception"),
    ("StopIteration", "builtins", "builtin", None, None, "control_flow"),
    ("GraphInterrupt", "langgraph.errors", None, None, None, "control_flow"),
    ("KeyboardInterrupt", "builtins", "builtin", None, None, "run_cancelled"),
    ("ContextLengthExceeded", "x", None, None, None, "context_window_exceeded"),
    ("ContextWindowExceededError", "litellm", None, 400, None, "context_window_exceeded"),
    ("TokenLimitExceeded", "x", "framework", None, None, "context_window_exceeded"),
    ("UnsupportedOperation", "x", None, None, None, "unsupported"),
    ("UnsupportedParamsError", "litellm", None, 400, None, "invalid_request"),
    ("PackageNotInstalledError", "x", None, None, None, "missing_dependency"),
    ("AuthenticationError", "openai", None, 401, None, "authentication_failed"),
    ("AuthorizationError", "x", None, None, None, "permission_denied"),
    ("UnauthorizedError", "cohere", None, 401, None, "authentication_failed"),
    ("ContentFilterFinishReasonError", "openai", None, None, None, "safety_filter"),
    ("LengthFinishReasonError", "openai", None, None, None, "output_truncated"),
    ("OutputParserException", "langchain_core.exceptions", None, None, None, "malformed_json"),
    ("InputGuardrailTripwireTriggered", "agents", None, None, None, "guardrail_blocked"),
    ("AI_NoSuchToolError", "ai", "framework", None, None, "unknown_tool"),
    ("AI_InvalidToolArgumentsError", "ai", "framework", None, None, "invalid_tool_arguments"),
    ("AI_LoadAPIKeyError", "ai", "framework", None, None, "authentication_failed"),
    ("AI_NoObjectGeneratedError", "ai", "framework", None, None, "schema_violation"),
    ("AI_APICallError", "ai", "framework", None, None, "exception"),
    ("OpenAIError", "openai", None, None, None, "exception"),
    ("InternalServerError", "openai", None, 500, None, "overloaded"),
    ("ServiceUnavailable", "x", None, None, None, "overloaded"),
    ("BudgetExceededError", "litellm", None, None, None, "token_budget_exhausted"),
    ("IncompleteRead", "http.client", "builtin", None, None, "connection_failed"),
    ("RemoteDisconnected", "http.client", "builtin", None, None, "connection_failed"),
    ("SSLError", "requests", None, None, None, "connection_failed"),
    ("NoSuchElementException", "selenium.common.exceptions", None, None, None, "not_found"),
    ("IntegrityError", "psycopg", None, None, None, "conflict"),
    ("NoCredentialsError", "botocore.exceptions", None, None, None, "authentication_failed"),
    ("OutOfMemoryError", "torch", None, None, None, "resource_exhausted"),
    ("QuotaExceededError", "x", None, None, None, "quota_exhausted"),
    ("MaxTokensReachedException", "strands", None, None, None, "output_truncated"),
    ("CommandExitException", "e2b", None, None, None, "code_execution_error"),
    ("WorkflowTimeoutError", "workflows", "framework", None, None, "run_timeout"),
    ("JSONDecodeError", "json", None, None, None, "malformed_json"),
    ("JSONDecodeError", "requests", None, None, None, "data_error"),
    ("sqlx::Error::PoolTimedOut", "sqlx", None, None, None, "timeout"),
    ("DeprecationWarning", "builtins", "builtin", None, None, None),
    ("AuthorNotFound", "x", None, None, None, "not_found"),
    ("RequestError", "httpx", None, None, None, "exception"),
    ("FileUnseekableStreamError", "x", None, None, "exception", None),
    ("MemoryNotFoundError", "x", "framework", None, None, "not_found"),
    ("UnexpectedResponse", "qdrant_client", None, None, None, "exception"),
    ("APIResponseValidationError", "openai", None, None, None, "data_error"),
    ("Aborted", "google.api_core.exceptions", None, 409, None, "conflict"),
    ("DNSException", "dns.exception", None, None, None, "exception"),
    ("CoordinatorNotAvailableError", "kafka", "store", None, None, "overloaded"),
    ("TelegramRetryAfter", "aiogram", "saas", None, None, "rate_limited"),
    ("CircuitBreakerConfigError", "x", None, None, None, "misconfiguration"),
    ("Http404", "django.http", None, None, None, "not_found"),
    ("OAuthTimeoutError", "x", None, None, None, "timeout"),
    ("TelemetryNonRateLimitError", "x", None, None, None, None),
    ("CircularDependencyError", "x", None, None, None, None),
    ("InvalidSessionTimeoutError", "kafka", None, None, None, "invalid_request"),
    ("UserInputRequiredException", "x", "framework", None, None, "control_flow"),
    ("ConnectionException", "cassandra.connection", None, None, None, "connection_failed"),
    ("TokenizerError", "x", "model_sdk", None, "exception", None),
    ("UnsupportedGrantTypeError", "oauthlib", "saas", None, None, "invalid_request"),
    ("UnsupportedApiVersion", "x", "cloud", None, None, "invalid_request"),
    ("LanguageNotSupportedError", "x", "sandbox", None, None, "invalid_request"),
    ("ContentTypeNotSupportedError", "x", "framework", None, None, "invalid_request"),
    ("ProtocolVersionUnsupported", "x", "store", None, None, "unsupported"),
    ("UnsupportedProtocol", "httpx", None, None, None, "unsupported"),
    ("UnsupportedAlgorithm", "x", "security", None, None, "unsupported"),
    ("InvalidCheckpointError", "x", "framework", None, None, "data_error"),
    ("InvalidBodyLengthError", "h2", "http", None, None, "connection_failed"),
    ("ObjectRefStreamEndOfStreamError", "ray", None, None, None, "control_flow"),
]


def check() -> list[str]:
    """What the self-check finds wrong."""
    wrong = []
    for name, module, kind, status, base, expected in _CHECKS:
        got = derive(name, "", status, base, module, (), kind=kind)
        if got[0] != expected:
            wrong.append(f"{name} ({module}): {got} instead of {expected}")
    return wrong


if __name__ == "__main__":
    problems = check()
    print("\n".join(problems) or f"{len(_CHECKS)} names derived as expected")
    raise SystemExit(bool(problems))
