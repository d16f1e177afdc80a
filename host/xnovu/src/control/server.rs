//! Where the admin routes are served.
//!
//! Owns the two doors to them: the process's Unix socket, which only its own user may open, and the health port, where a token is asked
//! for. Without a token the routes do not exist there. Tokens are compared in constant time and never logged.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::net::UnixListener;
use tokio::net::unix::SocketAddr;
use tokio_util::sync::CancellationToken;

use super::routes::Failure;
use crate::config::Secret;
use crate::http;

/// The admin socket. Whoever is neither this process's user nor root finds it closed, whatever the file's mode says.
pub struct AdminSocket {
    listener: UnixListener,
    owner: u32,
}

impl AdminSocket {
    /// Listens, in the place of what a dead process may have left there. The caller holds the place's lock.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn bind(path: &Path) -> anyhow::Result<Self> {
        let bind = || {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(path)?;
            fs::set_permissions(path, Permissions::from_mode(0o600))?;
            let owner = fs::metadata(path)?.uid();
            Ok(Self { listener, owner })
        };
        bind().with_context(|| format!("listening on {} (XNOVU_STATE_DIR)", path.display()))
    }
}

impl Listener for AdminSocket {
    type Io = tokio::net::UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // The listener's own accept waits where the system is out of files.
            let (stream, address) = Listener::accept(&mut self.listener).await;
            match stream.peer_cred() {
                Ok(peer) if peer.uid() == self.owner || peer.uid() == 0 => return (stream, address),
                Ok(peer) => tracing::warn!(uid = peer.uid(), "another user was turned away from the admin socket"),
                Err(error) => tracing::warn!(%error, "a caller of the admin socket could not be told"),
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// Serves until `stop` is cancelled.
pub async fn serve(socket: AdminSocket, routes: Router, stop: CancellationToken) {
    http::serve(socket, routes, stop).await;
}

/// The routes for a door that anybody may knock at: they answer to this token only, and none of them exists without one.
pub fn guarded(routes: Router, token: Option<&Secret>) -> Router {
    match token {
        Some(token) => routes.route_layer(from_fn_with_state(Arc::new(Token(token.clone())), ask_for_token)),
        None => Router::new(),
    }
}

/// A token, as it is at the moment. It is compared by its digest, whose length is fixed, so that the time of a comparison tells nothing of
/// the token's length either.
struct Token(Secret);

impl Token {
    fn is(&self, offered: &str) -> bool {
        let digest = |text: &str| -> [u8; 32] { Sha256::digest(text).into() };
        digest(&self.0.reveal()).ct_eq(&digest(offered)).into()
    }
}

async fn ask_for_token(State(token): State<Arc<Token>>, request: Request, next: Next) -> Response {
    let offered = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let offered = offered.and_then(|value| value.strip_prefix("Bearer "));
    if offered.is_some_and(|offered| token.is(offered.trim())) {
        return next.run(request).await;
    }
    tracing::warn!(path = request.uri().path(), given = offered.is_some(), "an admin request without the right token");
    let failure = Failure::new(StatusCode::UNAUTHORIZED, "the token is missing or wrong")
        .hint("send the header `Authorization: Bearer <XNOVU_ADMIN_TOKEN>`");
    ([(header::WWW_AUTHENTICATE, "Bearer realm=\"xnovu\"")], failure).into_response()
}

#[cfg(test)]
mod tests;
