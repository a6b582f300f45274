//! The names of attributes that say something about a run, and a fast search in them.

use super::ContextField;

/// Names that mean the same wherever they stand; of two, the first is preferred.
const NAMES: [(ContextField, &[&str]); 12] = [
    (
        ContextField::User,
        &[
            "user.id",
            "enduser.id",
            "langfuse.user.id",
            "langfuse.trace.user_id",
            "langwatch.user.id",
            "langwatch.user_id",
            "mlflow.trace.user",
            "end_user",
            "user_api_key_end_user_id",
            "litellm.end_user",
            "usr.id",
            "enduser.pseudo.id",
            "gen_ai.user.id",
            "gcp.vertex.agent.user_id",
            "dify.user_id",
            "user_id",
            "userId",
            "user-id",
            "user.user_id",
            "end_user_id",
            "endUserId",
            "user_api_key_user_id",
            "llm.user",
            "gen_ai.request.user",
            "gen_ai.openai.request.user",
        ],
    ),
    (
        ContextField::Session,
        &[
            "session.id",
            "gen_ai.conversation.id",
            "langfuse.session.id",
            "langfuse.trace.session_id",
            "langwatch.thread.id",
            "langwatch.thread_id",
            "mlflow.trace.session",
            "gcp.vertex.agent.session_id",
            "litellm_session_id",
            "conversation.id",
            "thread.id",
            "gen_ai.thread.id",
            "session_id",
            "sessionId",
            "session-id",
            "conversation_id",
            "conversationId",
            "thread_id",
            "threadId",
            "chat_id",
            "chatId",
            "gen_ai.session.id",
        ],
    ),
    (
        ContextField::ServiceVersion,
        &[
            "service.version",
            "app.version",
            "application.version",
            "service_version",
            "langfuse.release",
            "langfuse.trace.release",
            "langfuse.version",
            "langfuse.trace.version",
            "app_version",
            "appVersion",
            "faas.version",
        ],
    ),
    (ContextField::ServiceInstance, &["service.instance.id", "service_instance_id", "faas.instance", "k8s.pod.name"]),
    (
        ContextField::Revision,
        &[
            "vcs.ref.head.revision",
            "vcs.repository.ref.revision",
            "git.commit.sha",
            "_dd.git.commit.sha",
            "mlflow.source.git.commit",
            "git.commit.id",
            "git.commit",
            "git.sha",
            "git.revision",
            "git_commit",
            "git_sha",
            "git_commit_sha",
            "gitCommit",
            "gitSha",
            "commit_sha",
            "commitSha",
            "vcs.revision",
            "revision_id",
        ],
    ),
    (
        ContextField::PromptName,
        &[
            "langfuse.observation.prompt.name",
            "langfuse.prompt.name",
            "gen_ai.prompt.name",
            "traceloop.prompt.key",
            "langwatch.prompt.handle",
            "lc_hub_repo",
            "prompt.name",
            "prompt.id",
            "prompt_name",
            "promptName",
            "prompt_id",
            "promptId",
            "langfusePrompt.name",
            "prompt_handle",
        ],
    ),
    (
        ContextField::PromptVersion,
        &[
            "langfuse.observation.prompt.version",
            "langfuse.prompt.version",
            "gen_ai.prompt.version",
            "llm.prompt_template.version",
            "traceloop.prompt.version_name",
            "traceloop.prompt.version",
            "traceloop.prompt.version_hash",
            "langwatch.prompt.version.number",
            "langwatch.prompt.version.id",
            "lc_hub_commit_hash",
            "prompt.version",
            "prompt.version_id",
            "prompt_version",
            "promptVersion",
            "prompt_template_version",
            "langfusePrompt.version",
        ],
    ),
    (
        ContextField::Project,
        &[
            "openinference.project.name",
            "langsmith.project",
            "langsmith.trace.session_name",
            "langfuse.project.name",
            "langfuse.project.id",
            "arize.project.name",
            "phoenix.project.name",
            "opik.project.name",
            "braintrust.project",
            "honeyhive.project",
            "honeyhive_project",
            "mlflow.experimentName",
            "mlflow.experimentId",
            "weave.project",
            "logfire.project.id",
            "datadog.ml_app",
        ],
    ),
    (
        ContextField::Region,
        &["cloud.region", "aws.region", "azure.region", "gcp.region", "cloud.availability_zone", "deployment.region", "region"],
    ),
    (
        ContextField::Cost,
        &[
            "gen_ai.usage.cost",
            "gen_ai.usage.total_cost",
            "gen_ai.usage.cost_usd",
            "gen_ai.cost.total",
            "gen_ai.cost.total_cost",
            "gen_ai.cost",
            "llm.cost.total",
            "llm.cost.total_cost",
            "llm.usage.total_cost",
            "llm.usage.cost",
            "operation.cost",
            "ai.usage.cost",
            "langfuse.observation.cost_details",
            "mlflow.llm.cost",
            "mlflow.trace.cost",
            "gen_ai.client.cost",
            "response_cost",
            "total_cost",
            "total_cost_usd",
            "totalCost",
            "cost_usd",
            "estimated_cost",
            "instance_cost",
            "spend",
            "cost",
        ],
    ),
    (
        ContextField::PartialCost,
        &[
            "llm.cost.prompt",
            "llm.cost.completion",
            "gen_ai.usage.input_cost",
            "gen_ai.usage.output_cost",
            "gen_ai.usage.prompt_cost",
            "gen_ai.usage.completion_cost",
            "gen_ai.cost.input",
            "gen_ai.cost.output",
            "prompt_cost",
            "completion_cost",
            "input_cost",
            "output_cost",
        ],
    ),
    (ContextField::Path, &["trace.path", "app_path", "htmlPath", "html_path"]),
];

/// Names that mean this only in the metadata that an application adds, or among the tags of its tracing tool.
const NAMES_IN_METADATA: [(ContextField, &[&str]); 5] = [
    (ContextField::User, &["user", "username"]),
    (ContextField::Session, &["session", "thread", "conversation"]),
    (ContextField::ServiceVersion, &["version", "release"]),
    (ContextField::Revision, &["commit", "revision"]),
    (ContextField::Region, &["aws_region"]),
];

/// What stands before the names of an application's own metadata.
const METADATA_PREFIXES: [&str; 20] = [
    "metadata.requester_metadata.",
    "metadata.",
    "langsmith.metadata.",
    "langfuse.trace.metadata.",
    "langfuse.observation.metadata.",
    "traceloop.association.properties.",
    "lmnr.association.properties.",
    "ai.telemetry.metadata.",
    "tags.",
    "tag.",
    "trace_metadata.",
    "request_metadata.",
    "requestMetadata.",
    "attributes.",
    "otel.resource.",
    "resource.",
    "resourceAttributes.",
    "litellm.metadata.",
    "langwatch.metadata.",
    "properties.",
];

/// The names, for a fast search: every attribute of every span is looked up, and nearly all of them are other ones.
pub(super) struct Names {
    /// Names of each length with their ranks.
    anywhere: Vec<Vec<Name>>,
    in_metadata: Vec<Vec<Name>>,
    /// The last two bytes of all names, one bit each.
    endings: Vec<u64>,
}

type Name = (&'static str, ContextField, usize);

impl Names {
    /// Added to the rank of a name that stands in metadata.
    pub(super) const METADATA_RANK: usize = 100;

    pub(super) fn new() -> Self {
        let mut names = Self { anywhere: Vec::new(), in_metadata: Vec::new(), endings: vec![0; 1024] };
        let all = |names: &[(ContextField, &'static [&'static str])], first_rank: usize| -> Vec<Name> {
            names.iter().flat_map(|(field, names)| names.iter().zip(first_rank..).map(|(name, rank)| (*name, *field, rank))).collect()
        };
        for (list, found) in [(&mut names.anywhere, all(&NAMES, 0)), (&mut names.in_metadata, all(&NAMES_IN_METADATA, 100))] {
            for name in found {
                if list.len() <= name.0.len() {
                    list.resize_with(name.0.len() + 1, Vec::new);
                }
                if let Some(of_length) = list.get_mut(name.0.len()) {
                    of_length.push(name);
                }
                let ending = ending(name.0);
                if let Some(bits) = names.endings.get_mut(ending / 64) {
                    *bits |= 1 << (ending % 64);
                }
            }
        }
        names
    }

    pub(super) fn find(&self, key: &str) -> Option<(ContextField, usize)> {
        let ending = ending(key);
        self.endings.get(ending / 64).filter(|bits| **bits & (1 << (ending % 64)) != 0)?;
        let among = |names: &[Vec<Name>], key: &str| {
            let found = names.get(key.len())?.iter().find(|(name, ..)| *name == key)?;
            Some((found.1, found.2))
        };
        if let Some(found) = among(&self.anywhere, key) {
            return Some(found);
        }
        let name = METADATA_PREFIXES.iter().find_map(|prefix| key.strip_prefix(prefix))?;
        let (field, rank) = among(&self.anywhere, name).or_else(|| among(&self.in_metadata, name))?;
        Some((field, rank + Self::METADATA_RANK))
    }
}

/// The last two bytes as a number.
fn ending(key: &str) -> usize {
    key.as_bytes().last_chunk().map_or(0, |last: &[u8; 2]| usize::from(u16::from_be_bytes(*last)))
}
