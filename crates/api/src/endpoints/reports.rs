//! Shared by all reports about pull requests: from the request to a prepared report, and from its result to a response.

use axum::response::Response;
use http::{HeaderMap, HeaderValue};
use mergeline_domain::metrics::{Interval, Warning};
use mergeline_reporting::{Report, ReportKind};
use serde::Serialize;
use serde_json::{Value, json};

use super::resources::{Meta, instant};
use crate::http::envelope::{DATA_AS_OF, answer, csv};
use crate::http::errors::ApiError;
use crate::http::etag::ETag;
use crate::http::negotiation::Format;
use crate::http::parameters::{Form, Selection};
use crate::http::request::ApiRequest;
use crate::http::tables::Rows;
use crate::state::Api;

/// A requested report and the format of its response.
#[derive(Debug)]
pub(crate) struct RequestedReport {
    pub(crate) report: Report,
    pub(crate) format: Format,
    pub(crate) has_bom: bool,
    headers: HeaderMap,
    etag: ETag,
}

impl RequestedReport {
    /// Prepares the requested report.
    ///
    /// # Errors
    /// If the request is invalid or the team is unknown.
    pub(crate) async fn prepare(
        api: &Api,
        request: &ApiRequest,
        kind: ReportKind,
        selection: Selection,
        form: Form,
    ) -> Result<Self, ApiError> {
        let format = request.format(form.format)?;
        let query = if request.operation.has_team() { selection.of_team(request.team()?) } else { selection.of_all() };
        let viewer = request.access()?.viewer();
        let report = Report::prepare(&api.store, kind, query, &viewer, api.now(), api.stale_after).await?;
        let etag = ETag::of(&[request.operation.id, &report.fingerprint(), &format!("{format:?} {form:?}")]);
        Ok(Self { report, format, has_bom: form.has_bom, headers: request.headers.clone(), etag })
    }

    /// The same report, for a response that also depends on `part`.
    pub(crate) fn that_depends_on(self, part: &str) -> Self {
        let etag = self.etag.and(part);
        Self { etag, ..self }
    }

    /// `304` if the client already has the current response; nothing is computed for it.
    pub(crate) fn not_modified(&self) -> Option<Response> {
        self.etag.is_known(&self.headers).then(|| self.with_freshness(self.etag.not_modified()))
    }

    /// Adds the ETag and the freshness to the response.
    pub(crate) fn tagged(&self, response: Response) -> Response {
        self.with_freshness(self.etag.on(response))
    }

    /// Adds the freshness to the response.
    pub(crate) fn with_freshness(&self, mut response: Response) -> Response {
        let as_of = self.report.coverage().data_as_of.map(instant);
        if let Some(value) = as_of.and_then(|text| HeaderValue::from_str(&text).ok()) {
            response.headers_mut().insert(DATA_AS_OF, value);
        }
        response
    }

    /// The response, in the format that is asked for. A table is only made if it is.
    pub(crate) fn response<T: Serialize>(
        &self,
        data: T,
        meta: Meta,
        rows: impl FnOnce(&T) -> Result<Rows, csv::Error>,
    ) -> Result<Response, ApiError> {
        match self.format {
            Format::Json => Ok(answer(data, meta)),
            Format::Csv => csv(rows(&data)?, &self.file_name(), &meta, self.has_bom),
        }
    }

    /// The file name under which a browser saves the table: `payments-velocity`.
    fn file_name(&self) -> String {
        let definition = self.report.kind().definition();
        let name = self.report.team().map_or_else(|| "organization".to_owned(), |team| team.slug.to_string());
        format!("{name}-{}", definition.split('@').next().unwrap_or(definition))
    }

    /// The `meta` of the response.
    pub(crate) fn meta(&self, interval: Option<Interval>, warnings: &[Warning]) -> Meta {
        // With a table it is a header. Headers have size limits, and the names of repositories do not.
        Meta::of(&self.report, interval, warnings, self.format != Format::Csv)
    }
}

/// The `data` and `meta` of a report by week, for programs that do not use HTTP.
pub(crate) fn with_meta(
    report: &Report,
    data: impl Serialize,
    warnings: &[Warning],
) -> Result<Value, serde_json::Error> {
    data_and_meta(data, Meta::of(report, Some(Interval::Week), warnings, true))
}

/// An answer without its envelope.
pub(crate) fn data_and_meta(data: impl Serialize, meta: impl Serialize) -> Result<Value, serde_json::Error> {
    Ok(json!({ "data": serde_json::to_value(data)?, "meta": serde_json::to_value(meta)? }))
}
