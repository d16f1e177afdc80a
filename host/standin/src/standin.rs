//! A running stand-in: started, asked for its address, stopped.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::config::StandinConfig;
use crate::realtime;
use crate::server;
use crate::state::State;
use crate::tasks::Tasks;

/// A running stand-in. Dropping it stops the server.
#[derive(Debug)]
pub struct Standin {
    address: SocketAddr,
    state: State,
    tasks: Tasks,
}

/// Why a stand-in did not start.
#[derive(Debug, thiserror::Error)]
pub enum StandinError {
    /// The address is not a loopback one, and the admin route has no password.
    #[error("the stand-in listens on loopback addresses only, not on {0}")]
    NotLoopback(SocketAddr),
    /// The address could not be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl Standin {
    /// Starts listening. Connections are served on the runtime this is called on.
    ///
    /// # Errors
    ///
    /// The address is not loopback, or is taken.
    pub async fn start(config: StandinConfig) -> Result<Self, StandinError> {
        let asked = config.listen;
        if !asked.ip().is_loopback() && !config.options.allow_remote {
            return Err(StandinError::NotLoopback(asked));
        }
        let failed = |source| StandinError::Listen { address: asked, source };
        let listener = TcpListener::bind(asked).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let tasks = Tasks::default();
        let state = State::new(config, tasks.clone());
        tasks.start(realtime::poll(state.clone()));
        tasks.start(server::accept(listener, state.clone(), tasks.clone()));
        Ok(Self { address, state, tasks })
    }

    /// Base URL of Supabase and of Novu alike, for example `http://127.0.0.1:41234`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Rows, deliveries and switches, in process.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Closes all connections and waits until the port is free.
    pub async fn stop(self) {
        self.tasks.stop();
        self.tasks.ended().await;
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}
