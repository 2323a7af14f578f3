//! Values for `CloudWatch`.

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{MetricDatum, StandardUnit};

use crate::AwsError;
use crate::error::{Failure, Kind};

/// The metrics of one namespace.
#[derive(Debug, Clone)]
pub struct Metrics {
    client: Client,
    namespace: String,
}

/// A value as of now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// The value, a finite number.
    pub value: f64,
    /// What the value counts.
    pub unit: Unit,
}

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of items.
    Count,
    /// Seconds.
    Seconds,
    /// Percent.
    Percent,
    /// A number without a unit.
    None,
}

impl Metrics {
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned() }
    }

    /// Writes all values in one request, without dimensions, as of now. At most a thousand.
    ///
    /// # Errors
    /// When `CloudWatch` fails or refuses the request. Then none of the values is written.
    pub async fn put(&self, metrics: &[Metric]) -> Result<(), AwsError> {
        if metrics.is_empty() {
            return Ok(());
        }
        let data = metrics.iter().map(Metric::datum).collect();
        let sent = self.client.put_metric_data().namespace(&self.namespace).set_metric_data(Some(data)).send().await;
        sent.map_err(|error| self.error(error.into()))?;
        Ok(())
    }

    fn error(&self, failure: Failure) -> AwsError {
        match failure.kind {
            Kind::Denied => AwsError::MetricsDenied { namespace: self.namespace.clone(), source: failure.cause },
            _ => failure.into_error("cloudwatch:PutMetricData", &self.namespace),
        }
    }
}

impl Metric {
    fn datum(&self) -> MetricDatum {
        let unit = match self.unit {
            Unit::Count => StandardUnit::Count,
            Unit::Seconds => StandardUnit::Seconds,
            Unit::Percent => StandardUnit::Percent,
            Unit::None => StandardUnit::None,
        };
        MetricDatum::builder().metric_name(self.name).value(self.value).unit(unit).build()
    }
}
