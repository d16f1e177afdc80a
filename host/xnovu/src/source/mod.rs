//! How the daemon hears of rows.
//!
//! Owns the seam between whatever tells of a row and the admission, which reads the row itself. Promises nothing about completeness: a
//! hint may come twice, late or never, except from the sweep, which finds everything that is owed. Never decides anything.

pub mod due;
pub mod phoenix;
pub mod realtime;
pub mod status;
pub mod supervisor;
pub mod sweep;

use async_trait::async_trait;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use xnovu_domain::{EnterpriseId, Notification, NotificationId};

pub use due::Due;
pub use phoenix::ChangeKind;
pub use status::{Connection, Connections, StatusSender};
pub use supervisor::{Restarts, supervise};
pub use sweep::{Search, SearchReport, Sweep, SweepReport, SweepRequests, SweepSettings};

/// On which path a row was heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Via {
    /// A change that Realtime told.
    Realtime,
    /// The sweep of owed rows.
    Sweep,
    /// Its time has come.
    Due,
    /// The sweep of rows taken back.
    Retraction,
    /// The sweep of claims whose lease is over.
    Reap,
}

impl Via {
    /// The word for metrics and logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Realtime => "realtime",
            Self::Sweep => "sweep",
            Self::Due => "due",
            Self::Retraction => "retraction",
            Self::Reap => "reap",
        }
    }
}

/// That something may have to be done about a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Hint {
    /// Read this row.
    Id {
        /// Whose it is.
        enterprise: EnterpriseId,
        /// Which it is.
        id: NotificationId,
        /// Who told.
        via: Via,
        /// What happened to it, where Realtime told.
        change: Option<ChangeKind>,
    },
    /// These rows were just read through PostgREST.
    Rows {
        /// Whose they are.
        enterprise: EnterpriseId,
        /// The rows, at least one.
        rows: Vec<Notification>,
        /// Who told.
        via: Via,
    },
}

/// Why a connection ended.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The connection could not be made.
    #[error("could not connect")]
    Connect(#[source] Box<tokio_tungstenite::tungstenite::Error>),
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] Box<tokio_tungstenite::tungstenite::Error>),
    /// The other side closed it.
    #[error("the connection was closed by the other side{}", .reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Closed {
        /// What it said.
        reason: Option<String>,
    },
    /// Nothing was heard for too long.
    #[error("{0}")]
    Silent(&'static str),
    /// The settings do not make a connection.
    #[error("{0}")]
    Settings(String),
}

/// Something that tells of rows over a connection.
#[async_trait]
pub trait EventSource: Send + Sync {
    /// For logs.
    fn name(&self) -> &str;

    /// The enterprises it tells of.
    fn enterprises(&self) -> &[EnterpriseId];

    /// Runs one connection until it ends or `stop` is cancelled; says through `status` how each enterprise stands. Safe to drop.
    ///
    /// # Errors
    /// Why the connection ended. The supervisor makes the next one.
    async fn run(
        &self,
        out: &mpsc::Sender<Hint>,
        status: &StatusSender,
        stop: &CancellationToken,
    ) -> Result<(), SourceError>;
}

#[cfg(test)]
mod standin_tests;
