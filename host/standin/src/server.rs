//! The HTTP server: one port for all faces, and the faults that hit single requests before or after they are worked on.
//!
//! It serves connections itself, since a cut needs the connection and not only the answer.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{any, delete, post};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::error::ApiError;
use crate::faults::{Effect, ErrorBody, Face, HttpFault, Target};
use crate::novu::Disturbance;
use crate::state::State;
use crate::tasks::Tasks;
use crate::{admin, novu, realtime, rest};

/// Bytes of one request's body.
const BODY_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// Pause after an accept that failed, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

type Routes = TowerToHyperService<Router>;

/// The connection is to end without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut on purpose")]
struct Cut;

/// Accepts connections until the stand-in stops.
pub(crate) async fn accept(listener: TcpListener, state: State, tasks: Tasks) {
    let routes = TowerToHyperService::new(router(state.clone()));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => tasks.start(serve(stream, state.clone(), routes.clone())),
            Err(error) => {
                tracing::warn!(error = %error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn router(state: State) -> Router {
    Router::new()
        .route("/rest/v1/{table}", any(rest::serve))
        .route("/rest/v1/", any(rest::no_table))
        .route("/rest/v1/{table}/{*path}", any(rest::no_table))
        .route("/realtime/v1/websocket", any(realtime::serve))
        .route("/v1/events/trigger", post(novu::trigger))
        .route("/v1/events/trigger/bulk", post(novu::bulk))
        .route("/v1/events/trigger/{transaction_id}", delete(novu::cancel))
        .route("/v1/{*path}", any(novu::not_found))
        .merge(admin::router())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(state)
}

async fn serve(stream: TcpStream, state: State, routes: Routes) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = %error, "a connection keeps Nagle's algorithm");
    }
    let service = service_fn(|request| answer(request.map(Body::new), &state, &routes));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(error = %error, "a connection ended early");
    }
}

async fn answer(mut request: Request<Body>, state: &State, routes: &Routes) -> Result<Response<Body>, Cut> {
    let fault = match face(request.uri().path()) {
        Some(face) => find_fault(&mut request, state, face).await,
        None => None,
    };
    let mut response = match fault {
        None => call(routes, request).await,
        Some(fault) => disturbed(request, state, routes, fault).await?,
    };
    if let Ok(date) = HeaderValue::try_from(state.http_date()) {
        response.headers_mut().insert(header::DATE, date);
    }
    Ok(response)
}

/// Answers a request that a fault hits.
async fn disturbed(
    mut request: Request<Body>,
    state: &State,
    routes: &Routes,
    fault: HttpFault,
) -> Result<Response<Body>, Cut> {
    let latency = Duration::from_millis(fault.latency_ms);
    let error = match &fault.effect {
        Effect::Status { status, retry_after_s, behind_idempotency: true, .. } => Some((*status, *retry_after_s)),
        _ => None,
    };
    let inside = fault.face == Face::Novu && (error.is_some() || matches!(fault.effect, Effect::Pass | Effect::Cut));
    if inside {
        request.extensions_mut().insert(Disturbance { latency, error });
        let response = call(routes, request).await;
        return if fault.effect == Effect::Cut { Err(Cut) } else { Ok(response) };
    }
    tokio::time::sleep(latency).await;
    match fault.effect {
        Effect::Pass => Ok(call(routes, request).await),
        Effect::Status { status, body, retry_after_s, .. } => {
            Ok(error_response(state, fault.face, request.uri().path(), status, &body, retry_after_s))
        }
        Effect::Timeout => std::future::pending().await,
        Effect::Cut => {
            call(routes, request).await;
            Err(Cut)
        }
    }
}

async fn find_fault(request: &mut Request<Body>, state: &State, face: Face) -> Option<HttpFault> {
    let (any, need_body) = state.with_faults(|faults| (!faults.http.is_empty(), faults.need_body(face)));
    if !any {
        return None;
    }
    let body = if need_body { buffer(request).await } else { Bytes::new() };
    let target = Target { face, method: request.method().as_str(), path: request.uri().path(), body: &body };
    state.change_faults(|faults| faults.hit(target))
}

/// Reads the body and puts it back. A body that cannot be read is left empty; its client is gone.
async fn buffer(request: &mut Request<Body>) -> Bytes {
    let body = std::mem::take(request.body_mut());
    let bytes = axum::body::to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    *request.body_mut() = Body::from(bytes.clone());
    bytes
}

async fn call(routes: &Routes, request: Request<Body>) -> Response<Body> {
    let answered: Result<_, Infallible> = routes.call(request).await;
    let Ok(response) = answered;
    response
}

fn face(path: &str) -> Option<Face> {
    if path.starts_with("/rest/v1/") {
        Some(Face::Rest)
    } else if path.starts_with("/v1/") {
        Some(Face::Novu)
    } else {
        None
    }
}

/// An error as the service or the proxy before it words it.
fn error_response(
    state: &State,
    face: Face,
    path: &str,
    status: u16,
    body: &ErrorBody,
    retry_after_s: Option<u64>,
) -> Response<Body> {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let reason = code.canonical_reason().unwrap_or("Error");
    let mut response = match (body, face) {
        (ErrorBody::Empty, _) => code.into_response(),
        (ErrorBody::Html, _) => {
            let page = format!(
                "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n<center><h1>{status} {reason}</h1></center>\r\n</body>\r\n</html>\r\n"
            );
            (code, [(header::CONTENT_TYPE, "text/html")], page).into_response()
        }
        (ErrorBody::Json, Face::Rest) => rest_error(status, reason).into_response(),
        (ErrorBody::Json, Face::Novu) => {
            let timestamp = state.now().realtime();
            let body = json!({"statusCode": status, "timestamp": timestamp, "path": path, "message": reason});
            (code, axum::Json(body)).into_response()
        }
    };
    if let Some(seconds) = retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The error PostgREST gives with a status.
fn rest_error(status: u16, reason: &str) -> ApiError {
    let (code, message) = match status {
        401 => ("PGRST303", "JWT expired"),
        403 => ("42501", "permission denied for schema notify"),
        500 => ("57014", "canceling statement due to statement timeout"),
        503 => ("PGRST002", "Could not query the database for the schema cache. Retrying."),
        504 => ("PGRST003", "Timed out acquiring connection from connection pool."),
        _ => ("XX000", reason),
    };
    ApiError::new(status, code, message)
}
