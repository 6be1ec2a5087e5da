//! `Deployment`, `ReplicaSet`, `StatefulSet`, `DaemonSet` (`apps/v1`) and `Job` (`batch/v1`): what makes pods.

use serde_json::Value;
use tulle_base::Labels;

use super::pod::PodTemplateSpec;
use crate::schema::{enumeration, record};
use crate::value::IntOrString;

record! {
    /// Selects by labels: all pairs and all expressions must hold.
    pub struct PodSelector {
        /// Pairs.
        pub match_labels: Labels = "matchLabels",
        /// Expressions.
        pub match_expressions: Vec<SelectorRequirement> = "matchExpressions",
    }
}

record! {
    /// An expression over one label.
    pub struct SelectorRequirement {
        /// The label.
        pub key: String = "key" => required,
        /// What must hold.
        pub operator: Option<SelectorOperator> = "operator" => required,
        /// The values; for In and NotIn.
        pub values: Vec<String> = "values",
    }
}

enumeration! {
    /// What an expression asks for.
    pub enum SelectorOperator {
        /// The label has one of the values.
        In = "In",
        /// The label is missing or has none of the values.
        NotIn = "NotIn",
        /// The label is there.
        Exists = "Exists",
        /// The label is missing.
        DoesNotExist = "DoesNotExist",
    }
}

record! {
    /// Keeps a number of equal pods running and replaces them step by step.
    pub struct Deployment {
        /// How many; 1 by default.
        pub replicas: Option<i32> = "replicas",
        /// Labels of its pods, which the template must have.
        pub selector: PodSelector = "selector" => atomic,
        /// The pods.
        pub template: PodTemplateSpec = "template",
        /// How they are replaced.
        pub strategy: Option<DeploymentStrategy> = "strategy" => retain_keys,
        /// Seconds that a pod must be ready to count; 0 by default.
        pub min_ready_seconds: Option<i32> = "minReadySeconds",
        /// Seconds until a change that does not get on has failed; 600 by default.
        pub progress_deadline_seconds: Option<i32> = "progressDeadlineSeconds",
        /// Old ReplicaSets to keep.
        pub revision_history_limit: Option<i32> = "revisionHistoryLimit" => no_effect("no history is kept on one machine"),
        /// Whether changes wait.
        pub paused: Option<bool> = "paused",
    }
}

record! {
    /// How pods are replaced.
    pub struct DeploymentStrategy {
        /// RollingUpdate (default) or Recreate.
        pub strategy_type: Option<StrategyType> = "type",
        /// Details.
        pub rolling_update: Option<RollingUpdate> = "rollingUpdate",
    }
}

enumeration! {
    /// How pods are replaced.
    pub enum StrategyType {
        /// Step by step.
        RollingUpdate = "RollingUpdate",
        /// All at once.
        Recreate = "Recreate",
        /// When somebody deletes them.
        OnDelete = "OnDelete",
    }
}

record! {
    /// Replacing step by step.
    pub struct RollingUpdate {
        /// How many may be missing; 25% by default.
        pub max_unavailable: Option<IntOrString> = "maxUnavailable",
        /// How many may be too many; 25% by default.
        pub max_surge: Option<IntOrString> = "maxSurge",
        /// First ordinal that is updated; for a StatefulSet.
        pub partition: Option<i32> = "partition",
    }
}

record! {
    /// Keeps a number of equal pods running.
    pub struct ReplicaSet {
        /// How many; 1 by default.
        pub replicas: Option<i32> = "replicas",
        /// Labels of its pods, which the template must have.
        pub selector: PodSelector = "selector" => atomic,
        /// The pods.
        pub template: Option<PodTemplateSpec> = "template",
        /// Seconds that a pod must be ready to count; 0 by default.
        pub min_ready_seconds: Option<i32> = "minReadySeconds",
    }
}

record! {
    /// Keeps numbered pods with stable names running.
    pub struct StatefulSet {
        /// How many; 1 by default.
        pub replicas: Option<i32> = "replicas",
        /// Labels of its pods, which the template must have.
        pub selector: PodSelector = "selector" => atomic,
        /// The pods.
        pub template: PodTemplateSpec = "template",
        /// The headless service that names them.
        pub service_name: String = "serviceName",
        /// OrderedReady (default) or Parallel.
        pub pod_management_policy: Option<PodManagementPolicy> = "podManagementPolicy",
        /// How they are replaced.
        pub update_strategy: Option<DeploymentStrategy> = "updateStrategy",
        /// Seconds that a pod must be ready to count; 0 by default.
        pub min_ready_seconds: Option<i32> = "minReadySeconds",
        /// First number.
        pub ordinals: Option<StatefulSetOrdinals> = "ordinals",
        /// Old revisions to keep.
        pub revision_history_limit: Option<i32> = "revisionHistoryLimit" => no_effect("no history is kept on one machine"),
        /// Storage of each pod.
        pub volume_claim_templates: Vec<Value> = "volumeClaimTemplates"
            => no_effect("there is no storage to claim on one machine; use emptyDir or hostPath"),
        /// What becomes of the storage.
        pub persistent_volume_claim_retention_policy: Option<Value> = "persistentVolumeClaimRetentionPolicy"
            => no_effect("there is no storage to claim on one machine"),
    }
}

enumeration! {
    /// In which order numbered pods come and go.
    pub enum PodManagementPolicy {
        /// One after the other.
        OrderedReady = "OrderedReady",
        /// All at once.
        Parallel = "Parallel",
    }
}

record! {
    /// Numbers of the pods of a StatefulSet.
    pub struct StatefulSetOrdinals {
        /// The first; 0 by default.
        pub start: Option<i32> = "start",
    }
}

record! {
    /// Runs a pod on every node: one, on one machine.
    pub struct DaemonSet {
        /// Labels of its pods, which the template must have.
        pub selector: PodSelector = "selector" => atomic,
        /// The pods.
        pub template: PodTemplateSpec = "template",
        /// How they are replaced.
        pub update_strategy: Option<DeploymentStrategy> = "updateStrategy",
        /// Seconds that a pod must be ready to count; 0 by default.
        pub min_ready_seconds: Option<i32> = "minReadySeconds",
        /// Old revisions to keep.
        pub revision_history_limit: Option<i32> = "revisionHistoryLimit" => no_effect("no history is kept on one machine"),
    }
}

record! {
    /// Runs pods until enough of them ended well.
    pub struct Job {
        /// How many must end well; 1 by default.
        pub completions: Option<i32> = "completions",
        /// How many run at a time; 1 by default.
        pub parallelism: Option<i32> = "parallelism",
        /// Failures until the job has failed; 6 by default.
        pub backoff_limit: Option<i32> = "backoffLimit",
        /// Seconds that the job may take.
        pub active_deadline_seconds: Option<i64> = "activeDeadlineSeconds",
        /// The pods.
        pub template: PodTemplateSpec = "template",
        /// Labels of its pods; made up by default.
        pub selector: Option<PodSelector> = "selector" => atomic,
        /// Whether `selector` is the user's.
        pub manual_selector: Option<bool> = "manualSelector",
        /// Whether it waits.
        pub suspend: Option<bool> = "suspend",
        /// Seconds after its end until it is deleted.
        pub ttl_seconds_after_finished: Option<i32> = "ttlSecondsAfterFinished",
        /// Whether pods are numbered.
        pub completion_mode: String = "completionMode" => no_effect("pods of a job are not numbered on one machine"),
        /// Rules about failures.
        pub pod_failure_policy: Option<Value> = "podFailurePolicy" => no_effect("backoffLimit alone decides"),
        /// Rules about success.
        pub success_policy: Option<Value> = "successPolicy" => no_effect("completions alone decide"),
        /// Failures by number.
        pub backoff_limit_per_index: Option<i32> = "backoffLimitPerIndex"
            => no_effect("pods of a job are not numbered on one machine"),
        /// Failures by number.
        pub max_failed_indexes: Option<i32> = "maxFailedIndexes"
            => no_effect("pods of a job are not numbered on one machine"),
        /// When a pod is replaced.
        pub pod_replacement_policy: String = "podReplacementPolicy" => no_effect("pods are replaced when they have ended"),
        /// Who runs the job.
        pub managed_by: String = "managedBy" => no_effect("there is one controller"),
    }
}
