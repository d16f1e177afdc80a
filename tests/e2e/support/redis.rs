//! A Redis of the test's own.

use std::process::{Child, Command, Stdio};

use super::{free_port, until};

/// A Redis server without persistence, killed when dropped.
pub struct RedisServer {
    child: Child,
    port: u16,
}

impl RedisServer {
    pub async fn start() -> Self {
        let port = free_port();
        let server = Self { child: Self::spawn(port), port };
        server.until_it_answers().await;
        server
    }

    fn spawn(port: u16) -> Child {
        let number = port.to_string();
        // Dumps are not compressed, so that a test can search them.
        let arguments = ["--port", &number, "--bind", "127.0.0.1", "--save", "", "--maxmemory-policy", "noeviction"];
        let mut command = Command::new("redis-server");
        command.args(arguments).args(["--rdbcompression", "no"]).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("redis-server is installed (tests/run installs it)")
    }

    async fn until_it_answers(&self) {
        until("Redis answers", async || self.ask::<String>(&["PING"]).await.map_err(|error| error.to_string())).await;
    }

    /// Ends it; what it held is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it hang: its connections stay open and nothing is answered. False lets it go on.
    pub fn freeze(&self, frozen: bool) {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let killed = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// Starts it again on the same port.
    pub async fn start_again(&mut self) {
        self.child = Self::spawn(self.port);
        self.until_it_answers().await;
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub async fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.ask(words).await.unwrap()
    }

    /// Everything in it, keys and values, as one heap of bytes.
    pub async fn contents(&self) -> Vec<u8> {
        let keys: Vec<Vec<u8>> = self.command(&["KEYS", "*"]).await;
        let mut connection = self.connect().await.unwrap();
        let mut heap = Vec::new();
        for key in keys {
            let dump: Option<Vec<u8>> = redis::cmd("DUMP").arg(&key).query_async(&mut connection).await.unwrap();
            heap.extend(key);
            heap.extend(dump.unwrap_or_default());
        }
        heap
    }

    async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let mut connection = self.connect().await?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await
    }

    async fn connect(&self) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
        redis::Client::open(self.url())?.get_multiplexed_async_connection().await
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
