//! A deployed stack: the names of its functions, and asking these directly.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_cloudformation::types::{Output, Stack};
use aws_sdk_lambda::primitives::Blob;

use crate::error::{Failure, Kind};
use crate::{AwsError, Cause};

/// A function of the collector's kind may take 15 minutes. What is asked here takes a fraction of a minute, after a cold start.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The stacks of an account and region, by their names.
#[derive(Debug, Clone)]
pub struct Stacks {
    stacks: aws_sdk_cloudformation::Client,
    functions: aws_sdk_lambda::Client,
}

impl Stacks {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        let timeouts = TimeoutConfig::builder().read_timeout(ANSWER_WITHIN).operation_timeout(ANSWER_WITHIN).build();
        // Not a second time, while the function still works on the first.
        let of_functions = aws_sdk_lambda::config::Builder::from(config)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::disabled())
            .build();
        Self {
            stacks: aws_sdk_cloudformation::Client::new(config),
            functions: aws_sdk_lambda::Client::from_conf(of_functions),
        }
    }

    /// The outputs of a stack.
    ///
    /// # Errors
    /// [`AwsError::StackNotFound`], [`AwsError::Denied`], or any other error of CloudFormation.
    pub async fn outputs(&self, stack: &str) -> Result<BTreeMap<String, String>, AwsError> {
        const ACTION: &str = "cloudformation:DescribeStacks";
        let described = self.stacks.describe_stacks().stack_name(stack).send().await;
        let described = described.map_err(|error| {
            let failure = Failure::from(error);
            // CloudFormation has no error of its own for that.
            if failure.cause.says("does not exist") {
                return AwsError::StackNotFound { stack: stack.to_owned(), source: failure.cause };
            }
            refused(failure, ACTION, stack)
        })?;
        let outputs = described.stacks().first().map(Stack::outputs).unwrap_or_default();
        let pair = |output: &Output| Some((output.output_key()?.to_owned(), output.output_value()?.to_owned()));
        Ok(outputs.iter().filter_map(pair).collect())
    }

    /// What a function answers to an event. `alias` is of the version to ask; without one it is what was deployed last.
    ///
    /// # Errors
    /// [`AwsError::FunctionFailed`] if it answered with an error or ended, [`AwsError::Denied`], or any other error of Lambda.
    pub async fn ask(&self, function: &str, alias: Option<&str>, event: &str) -> Result<String, AwsError> {
        let request = self.functions.invoke().function_name(function).set_qualifier(alias.map(str::to_owned));
        let answered = request.payload(Blob::new(event)).send().await;
        let answered = answered.map_err(|error| refused(error.into(), "lambda:InvokeFunction", function))?;
        let payload = answered.payload().map(Blob::as_ref).unwrap_or_default();
        let text = String::from_utf8_lossy(payload).into_owned();
        if answered.function_error().is_some() {
            let source = Cause::of_response(None, Some(&text));
            return Err(AwsError::FunctionFailed { function: function.to_owned(), source });
        }
        Ok(text)
    }
}

fn refused(failure: Failure, action: &'static str, subject: &str) -> AwsError {
    match failure.kind {
        Kind::Denied => AwsError::Denied { action, subject: subject.to_owned(), source: failure.cause },
        _ => failure.into_error(action, subject),
    }
}
