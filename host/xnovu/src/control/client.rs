//! How a verb of the command line talks to a running process.
//!
//! Owns requests over a process's admin socket and the words for their failures. Never waits longer than [`PATIENCE`] for an answer, unless it is
//! told to.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::state_dir::{ControlError, Found, Role, StateDir};

/// Longest wait for one answer. What takes longer is asked for again, not waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A way to one running process.
pub struct Client {
    found: Found,
    http: reqwest::Client,
}

impl Client {
    /// The process that has this place in the state directory.
    ///
    /// # Errors
    /// [`ControlError::NotRunning`].
    pub fn of(state: &StateDir, role: &Role) -> Result<Self, ControlError> {
        Self::to(state.find(role)?)
    }

    /// A process that was found.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn to(found: Found) -> Result<Self, ControlError> {
        let builder = reqwest::Client::builder().unix_socket(found.socket.clone()).timeout(PATIENCE);
        match builder.build() {
            Ok(http) => Ok(Self { found, http }),
            Err(source) => Err(silent(&found, source)),
        }
    }

    /// The process.
    #[must_use]
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Asks for what a route tells.
    ///
    /// # Errors
    /// [`ControlError::Silent`] where nobody answers, [`ControlError::Refused`] with the reason given.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ControlError> {
        let response = self.send(self.http.get(url(path))).await?;
        self.accepted(format!("GET {path}"), response).await
    }

    /// What a route tells whatever its status is, and whether that was a success: health has a body either way.
    ///
    /// # Errors
    /// [`ControlError::Silent`] where nobody answers.
    pub async fn look(&self, path: &str) -> Result<(bool, Value), ControlError> {
        let response = self.send(self.http.get(url(path))).await?;
        let success = response.status().is_success();
        Ok((success, response.json().await.map_err(|source| silent(&self.found, source))?))
    }

    /// The same of a route that tells a text.
    ///
    /// # Errors
    /// As [`Client::look`].
    pub async fn text(&self, path: &str) -> Result<(bool, String), ControlError> {
        let response = self.send(self.http.get(url(path))).await?;
        let success = response.status().is_success();
        Ok((success, response.text().await.map_err(|source| silent(&self.found, source))?))
    }

    /// Tells a route to do something.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ControlError> {
        let response = self.send(self.http.post(url(path)).json(body)).await?;
        self.accepted(format!("POST {path}"), response).await
    }

    /// The same where what is to be done may take so long.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post_within<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        patience: Duration,
    ) -> Result<T, ControlError> {
        let response = self.send(self.http.post(url(path)).json(body).timeout(patience)).await?;
        self.accepted(format!("POST {path}"), response).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, ControlError> {
        request.send().await.map_err(|source| silent(&self.found, source))
    }

    async fn accepted<T: DeserializeOwned>(
        &self,
        request: String,
        response: reqwest::Response,
    ) -> Result<T, ControlError> {
        let status = response.status();
        if status.is_success() {
            return response.json().await.map_err(|source| silent(&self.found, source));
        }
        let body: Value = response.json().await.unwrap_or_default();
        let mut message = body["error"].as_str().unwrap_or("without a reason").to_owned();
        if let Some(hint) = body["hint"].as_str() {
            message.push_str(&format!("\n  hint: {hint}"));
        }
        Err(ControlError::Refused { request, status: status.as_u16(), message })
    }
}

/// The host is a formality: the socket leads to one process only.
fn url(path: &str) -> String {
    format!("http://xnovu{path}")
}

fn silent(found: &Found, source: reqwest::Error) -> ControlError {
    ControlError::Silent {
        role: found.role.clone(),
        pid: found.pid,
        socket: found.socket.clone(),
        source: source.into(),
    }
}
