//! Errors of AWS calls, with help.

use std::error::Error;

use aws_sdk_sqs::error::{BuildError, ProvideErrorMetadata, SdkError};

/// Why a call to AWS failed.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// The secret does not exist.
    #[error("Secrets Manager has no {arn}\n  help: check the ARN and its region")]
    SecretNotFound {
        /// The secret.
        arn: String,
        /// What AWS said.
        source: Cause,
    },
    /// The secret has no value, or one that is not text.
    #[error(
        "Secrets Manager has no value for {arn}\n  help: store it, as text, with `aws secretsmanager put-secret-value \
         --secret-id {arn} --secret-string file:///dev/stdin`"
    )]
    SecretEmpty {
        /// The secret.
        arn: String,
    },
    /// The secret may not be read.
    #[error(
        "not allowed to read {arn}\n  help: the role needs secretsmanager:GetSecretValue on it, and kms:Decrypt when it \
         has its own KMS key"
    )]
    SecretDenied {
        /// The secret.
        arn: String,
        /// What AWS said.
        source: Cause,
    },
    /// The queue does not exist.
    #[error("queue {url} does not exist\n  help: check the URL, its region and its account")]
    QueueNotFound {
        /// The queue.
        url: String,
        /// What AWS said.
        source: Cause,
    },
    /// The queue may not be used in this way.
    #[error("not allowed to call {action} on {url}\n  help: the role needs {action} on the queue")]
    QueueDenied {
        /// The queue.
        url: String,
        /// The missing permission.
        action: &'static str,
        /// What AWS said.
        source: Cause,
    },
    /// The message was deleted, or became visible to others. The caller no longer holds it.
    #[error("this receiver no longer holds the message from {url}")]
    ReceiptExpired {
        /// The queue.
        url: String,
        /// What AWS said.
        source: Cause,
    },
    /// Some messages were rejected twice.
    #[error("{lost} of {all} messages could not be sent to {url}")]
    Undelivered {
        /// The queue.
        url: String,
        /// How many are missing.
        lost: usize,
        /// How many there were.
        all: usize,
        /// What SQS said about the first.
        source: Cause,
    },
    /// Metrics may not be written.
    #[error(
        "not allowed to write metrics to {namespace}\n  help: the role needs cloudwatch:PutMetricData with this \
         namespace"
    )]
    MetricsDenied {
        /// The namespace.
        namespace: String,
        /// What AWS said.
        source: Cause,
    },
    /// The stack does not exist.
    #[error("there is no stack {stack}\n  help: check its name, the region and the account")]
    StackNotFound {
        /// The stack.
        stack: String,
        /// What AWS said.
        source: Cause,
    },
    /// A call is not allowed.
    #[error("not allowed to call {action} on {subject}\n  help: this identity needs {action} on it")]
    Denied {
        /// The missing permission.
        action: &'static str,
        /// The stack or function.
        subject: String,
        /// What AWS said.
        source: Cause,
    },
    /// A function answered with an error, or ended.
    #[error("the function {function} failed\n  help: look at its log")]
    FunctionFailed {
        /// The function.
        function: String,
        /// What it answered.
        source: Cause,
    },
    /// Region or credentials are missing or refused.
    #[error(
        "cannot call AWS from here\n  help: set AWS_REGION, and sign in, for example with `aws sso login`, or set \
         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    NotConfigured {
        /// What is missing.
        source: Cause,
    },
    /// AWS did not respond, or reported a transient failure. A later retry helps.
    #[error("{action} failed for {subject}: AWS is unavailable")]
    Unavailable {
        /// The call.
        action: &'static str,
        /// The secret, queue or namespace.
        subject: String,
        /// What AWS said.
        source: Cause,
    },
    /// AWS refused the request. A retry does not help.
    #[error("{action} was refused for {subject}")]
    Refused {
        /// The call.
        action: &'static str,
        /// The secret, queue or namespace.
        subject: String,
        /// What AWS said.
        source: Cause,
    },
}

impl AwsError {
    /// A short, stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SecretNotFound { .. } => "secret_not_found",
            Self::SecretEmpty { .. } => "secret_empty",
            Self::SecretDenied { .. } => "secret_denied",
            Self::QueueNotFound { .. } => "queue_not_found",
            Self::QueueDenied { .. } => "queue_denied",
            Self::ReceiptExpired { .. } => "receipt_expired",
            Self::Undelivered { .. } => "messages_undelivered",
            Self::MetricsDenied { .. } => "metrics_denied",
            Self::StackNotFound { .. } => "stack_not_found",
            Self::Denied { .. } => "aws_denied",
            Self::FunctionFailed { .. } => "function_failed",
            Self::NotConfigured { .. } => "aws_not_configured",
            Self::Unavailable { .. } => "aws_unavailable",
            Self::Refused { .. } => "aws_refused",
        }
    }
}

/// What AWS said, as text.
///
/// The SDK's error is not kept. Printed with `{:?}` it shows the whole response, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Cause(String);

impl Cause {
    /// Whether AWS said this.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.0.contains(text)
    }

    /// The code and message of a response.
    pub(crate) fn of_response(code: Option<&str>, message: Option<&str>) -> Self {
        Self([code, message].into_iter().flatten().collect::<Vec<_>>().join(": "))
    }

    /// An unreadable response. The parse error is left out, because it would quote the response.
    fn unreadable(status: u16) -> Self {
        Self(format!("unreadable response with status {status}"))
    }

    /// The same, in place of the long list of where the SDK looked for credentials.
    fn without_credentials(self) -> Self {
        let has_none = ["no credentials found", "loading credentials"].iter().any(|text| self.says(text));
        let none = "there are no credentials in the environment, in a profile, or from the role of this machine";
        if has_none { Self(none.to_owned()) } else { self }
    }

    /// The messages of an error and its sources, on one line, without those that only name a layer of the SDK.
    fn of_chain(error: &dyn Error) -> Self {
        let mut chain = vec![error.to_string()];
        let mut source = error.source();
        while let Some(error) = source {
            chain.push(error.to_string());
            source = error.source();
        }
        let is_layer = |text: &String| matches!(text.as_str(), "dispatch failure" | "other");
        let (layers, causes): (Vec<String>, Vec<String>) = chain.into_iter().partition(is_layer);
        Self(if causes.is_empty() { layers } else { causes }.join(": "))
    }
}

/// A kind of failure. Each call maps it to its error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Missing,
    Denied,
    Expired,
    NotConfigured,
    Unavailable,
    Refused,
}

/// A failed call.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) cause: Cause,
}

impl Failure {
    /// Before anything is sent.
    pub(crate) fn of(kind: Kind, error: &dyn Error) -> Self {
        Self { kind, cause: Cause::of_chain(error) }
    }

    /// The error when the caller has no special case for this kind of failure.
    pub(crate) fn into_error(self, action: &'static str, subject: &str) -> AwsError {
        let (subject, source) = (subject.to_owned(), self.cause);
        match self.kind {
            Kind::NotConfigured => AwsError::NotConfigured { source },
            Kind::Unavailable => AwsError::Unavailable { action, subject, source },
            Kind::Missing | Kind::Denied | Kind::Expired | Kind::Refused => {
                AwsError::Refused { action, subject, source }
            }
        }
    }
}

impl<E> From<SdkError<E>> for Failure
where
    E: Error + ProvideErrorMetadata + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        match &error {
            SdkError::ServiceError(answer) => {
                let (code, message) = (answer.err().code(), answer.err().message());
                let status = answer.raw().status().as_u16();
                let cause = match code {
                    Some(_) => Cause::of_response(code, message),
                    None => Cause::unreadable(status),
                };
                Self { kind: kind_of(code, message.unwrap_or_default(), status), cause }
            }
            SdkError::ResponseError(answer) => {
                Self { kind: Kind::Unavailable, cause: Cause::unreadable(answer.raw().status().as_u16()) }
            }
            // Before anything is sent: no region, no credentials, or an invalid setting. A broken connection is "other"
            // too, but then it has a retry kind.
            SdkError::DispatchFailure(failure)
                if failure.is_user() || (failure.is_other() && failure.as_other().is_none()) =>
            {
                Self { kind: Kind::NotConfigured, cause: Cause::of_chain(&error).without_credentials() }
            }
            SdkError::ConstructionFailure(_) => Self { kind: Kind::NotConfigured, cause: Cause::of_chain(&error) },
            _ => Self { kind: Kind::Unavailable, cause: Cause::of_chain(&error) },
        }
    }
}

impl From<BuildError> for Failure {
    /// A request with a missing part.
    fn from(error: BuildError) -> Self {
        Self { kind: Kind::Refused, cause: Cause::of_chain(&error) }
    }
}

/// Source: the "Errors" of each operation and "Common Error Types" in the services' API references.
fn kind_of(code: Option<&str>, message: &str, status: u16) -> Kind {
    // Without a code the response is not from the service: it is from a proxy, or truncated.
    let Some(code) = code else { return Kind::Unavailable };
    match code {
        "ResourceNotFoundException" | "QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue" => Kind::Missing,
        // A secret that is scheduled for deletion.
        "InvalidRequestException" if message.contains("deletion") => Kind::Missing,
        "AccessDenied" | "AccessDeniedException" | "DecryptionFailure" | "KmsAccessDenied" => Kind::Denied,
        "MessageNotInflight" | "ReceiptHandleIsInvalid" => Kind::Expired,
        "InvalidParameterValue" if message.contains("receipt handle has expired") => Kind::Expired,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => Kind::NotConfigured,
        "RequestThrottled" | "Throttling" | "ThrottlingException" | "TooManyRequestsException" | "KmsThrottled" => {
            Kind::Unavailable
        }
        _ if status == 429 || status >= 500 => Kind::Unavailable,
        _ => Kind::Refused,
    }
}
