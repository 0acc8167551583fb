//! Downloads of all that fits the filter, oldest first, sent as it is read.

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use sync_wrapper::SyncStream;
use warp::Reply as _;
use warp::reply::Response;

use super::super::download::{self, Broken};
use super::super::view::attachment;
use super::super::{Stop, csrf, session};
use super::search::Search;
use crate::export::entries::Format;
use crate::http::AuditExport;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::streams::Seat;

/// A download, between two chunks of it.
struct Open {
    call: Call,
    head: Option<Vec<u8>>,
    export: AuditExport,
    _seat: Seat,
}

/// `GET /admin/audit/export`.
pub(in crate::http::admin) async fn serve(call: Call) -> Result<Response, Stop> {
    call.get_only()?;
    csrf::check_get(&call.headers, &call.app.settings.public_origin)?;
    let admin = session::reader(&call, super::HERE).await?;
    let search = Search::read(&call, &["format"])?;
    let (format, kind) = match search.typed("format") {
        "csv" => (Format::Csv, "text/csv; charset=utf-8"),
        "jsonl" => (Format::Jsonl, "application/jsonl"),
        _ => return Err(Problem::bad_request("The format is csv or jsonl.").into()),
    };
    let filter = search.filter(&call.app.store).await?.map_err(Problem::bad_request)?;
    let seat = download::seat(&call, &admin)?;
    let app = &call.app;
    let export = AuditExport::begin(&app.store, &app.notary, filter, format, admin.did("audit.exported")).await?;
    // `2024-05-28T08:00:05`, without what file names may not have everywhere.
    let at: String = app.clock.now().to_string().chars().take(19).filter(|c| *c != ':').collect();
    let name = format!("rollbook-audit-{at}.{}", format.as_str());
    let open = Open { head: Some(export.head()), export, call, _seat: seat };
    Ok(attachment(&name, kind, warp::reply::stream(open.chunks()).into_response()))
}

impl Open {
    fn chunks(self) -> impl Stream<Item = Result<Bytes, Broken>> + Send + Sync {
        // Only the connection ever polls it, but warp asks of a body that it could be shared.
        SyncStream::new(try_unfold(self, |mut open| async move {
            let chunk = open.next().await.inspect_err(|cause| tracing::info!(%cause, "audit.export_broken"))?;
            Ok(chunk.map(|chunk| (chunk, open)))
        }))
    }

    /// The next chunk; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            download::may_go_on(&self.call).await?;
            let chunk = match self.head.take() {
                Some(head) => head,
                None => match self.export.next().await? {
                    Some(rows) => rows,
                    None => return Ok(None),
                },
            };
            if !chunk.is_empty() {
                return Ok(Some(chunk.into()));
            }
        }
    }
}
