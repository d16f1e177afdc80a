//! A page of the documentation, run as its reader would.
//!
//! Every block marked `console` is a script for bash: lines that begin with `$ ` are its commands (and with `> ` their continuations), the
//! others are what it shows, in that order, where `…` stands for anything. A block must succeed, unless the line before it says otherwise:
//!
//! - `<!-- background, until: COMMAND -->` its one command keeps running, and the page goes on once COMMAND succeeds;
//! - `<!-- exit: 1 -->` it ends with that code;
//! - `<!-- again, until: it shows this -->` it only looks, and a reader would look again until it shows what stands there;
//! - `<!-- not run: systemd -->` it needs what no test has; only [`NOT_HERE`] are reasons.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::process::search;
use super::{House, until_within};

/// What no test machine has to have.
const NOT_HERE: [&str; 3] = ["docker", "systemd", "the hosted services"];

/// Longest wait for one block, which may compile a plugin for the first time.
const PATIENCE: Duration = Duration::from_secs(600);

/// A page that is to be run.
pub struct Page<'a> {
    house: &'a House,
    /// Where its commands run.
    dir: PathBuf,
    path: &'static str,
    environment: Vec<(&'static str, String)>,
    replaced: Vec<(&'static str, String)>,
}

/// What became of a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Blocks that were run.
    pub run: usize,
    /// Blocks that were not.
    pub not_run: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Block {
    line: usize,
    directive: String,
    commands: Vec<String>,
    shown: Vec<String>,
}

impl<'a> Page<'a> {
    /// A page in this house: its settings, and a state directory where a reader has it.
    pub fn of(house: &'a House, path: &'static str, health_port: u16) -> Self {
        let mut environment = house.environment(health_port);
        environment.retain(|(name, _)| !["XNOVU_STATE_DIR", "DAEMON_LOG_LEVEL"].contains(name));
        let dir = house.dir().to_owned();
        Self { house, dir, path, environment, replaced: vec![("3001", health_port.to_string())] }
    }

    /// Writes something else where the page has this, such as the port of a service of the test.
    pub fn replacing(mut self, text: &'static str, by: impl ToString) -> Self {
        self.replaced.push((text, by.to_string()));
        self
    }

    /// For a reader with Rust and nothing else: no service, no setting, and an empty directory, at the same place at every run, so that what was
    /// compiled is still there.
    pub fn for_an_author(self) -> Self {
        let place = root().join("target/plugin-tests/tutorial");
        let dir = place.join("desk");
        if dir.exists() {
            fs::remove_dir_all(&dir).unwrap();
        }
        fs::create_dir_all(&dir).unwrap();
        let home = std::env::home_dir().unwrap();
        let at =
            |name: &str, below_home: &str| std::env::var_os(name).map_or_else(|| home.join(below_home), PathBuf::from);
        let environment = vec![
            ("CARGO_HOME", at("CARGO_HOME", ".cargo").display().to_string()),
            ("RUSTUP_HOME", at("RUSTUP_HOME", ".rustup").display().to_string()),
            ("XDG_CACHE_HOME", place.join("cache").display().to_string()),
        ];
        Self { dir, environment, ..self }
    }

    /// Runs its blocks one after the other.
    pub async fn run(self) -> Counts {
        self.run_between(async |_| ()).await
    }

    /// The same, and lets something happen before each block, told by the number of those before it, and after the last one.
    pub async fn run_between(self, mut happens: impl AsyncFnMut(usize)) -> Counts {
        let text = fs::read_to_string(root().join(self.path)).unwrap();
        let (mut counts, mut running) = (Counts::default(), Vec::new());
        for (number, block) in blocks(&text).into_iter().enumerate() {
            happens(number).await;
            let at = format!("{}:{}", self.path, block.line);
            match block.directive.split_once(": ").unwrap_or((&block.directive, "")) {
                ("not run", reason) => {
                    assert!(NOT_HERE.contains(&reason), "{at}: {reason:?} is no reason not to run it");
                    counts.not_run += 1;
                    continue;
                }
                ("background, until", condition) => running.push(self.keep(&at, &block, condition).await),
                ("exit", code) => {
                    self.try_block(&block, code.parse().unwrap()).await.unwrap_or_else(|why| panic!("{at}: {why}"))
                }
                ("again, until", "it shows this") => {
                    until_within(PATIENCE, &at, async || self.try_block(&block, 0).await).await;
                }
                ("", _) => self.try_block(&block, 0).await.unwrap_or_else(|why| panic!("{at}: {why}")),
                (other, _) => panic!("{at}: {other:?} is no directive"),
            }
            counts.run += 1;
        }
        happens(counts.run + counts.not_run).await;
        for (_, log) in &running {
            search(&log.display().to_string(), &fs::read(log).unwrap());
        }
        counts
    }

    async fn try_block(&self, block: &Block, code: i32) -> Result<(), String> {
        let script = format!("set -euo pipefail\n{}", block.commands.join("\n"));
        let (ended, said) = self.bash(&script).await;
        if ended != Some(code) {
            return Err(format!("{script} ended with {ended:?}, not {code}:\n{said}"));
        }
        let mut rest = said.as_str();
        for line in &block.shown {
            rest = find(rest, &self.replace(line)).ok_or_else(|| format!("{line:?} is not shown in\n{said}"))?;
        }
        Ok(())
    }

    /// Starts the one command of a block, which ends with the test.
    async fn keep(&self, at: &str, block: &Block, condition: &str) -> (Child, PathBuf) {
        let [command] = block.commands.as_slice() else { panic!("{at}: one command can run in the background") };
        let log = self.house.dir().join(format!("background-{}", block.line));
        let file = fs::File::create(&log).unwrap();
        let mut bash = self.command(&format!("exec env {}", self.replace(command)));
        bash.stdout(file.try_clone().unwrap()).stderr(file);
        let mut child = bash.spawn().unwrap();
        until_within(PATIENCE, &format!("{at}: {condition}"), async || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{at}: {command} ended ({status}): {}", fs::read_to_string(&log).unwrap());
            }
            let (code, said) = self.bash(&self.replace(condition)).await;
            if code == Some(0) { Ok(()) } else { Err(format!("{said}\n{}", fs::read_to_string(&log).unwrap())) }
        })
        .await;
        (child, log)
    }

    /// The code and all the output of a script.
    async fn bash(&self, script: &str) -> (Option<i32>, String) {
        let mut bash = self.command(&format!("exec 2>&1\n{}", self.replace(script)));
        bash.stdout(Stdio::piped());
        let output =
            tokio::time::timeout(PATIENCE, bash.output()).await.unwrap_or_else(|_| panic!("{script} takes too long"));
        let output = output.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self, script: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_xnovu")).parent().unwrap();
        let mut bash = Command::new("bash");
        bash.args(["-c", script]).current_dir(&self.dir).env_clear().kill_on_drop(true).stdin(Stdio::null());
        bash.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let cargo = self.environment.iter().find(|(name, _)| *name == "CARGO_HOME");
        let cargo = cargo.map(|(_, home)| format!(":{home}/bin")).unwrap_or_default();
        let system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        bash.env("PATH", format!("{}{cargo}:{system}", program.display()));
        bash.env("HOME", self.house.dir());
        bash
    }

    /// In two steps, so that what was put in is not replaced itself.
    fn replace(&self, text: &str) -> String {
        let mark = |number: usize| format!("\u{1}{number}\u{2}");
        let marked = self.replaced.iter().enumerate();
        let text = marked.fold(text.to_owned(), |text, (number, (from, _))| text.replace(from, &mark(number)));
        let marked = self.replaced.iter().enumerate();
        marked.fold(text, |text, (number, (_, to))| text.replace(&mark(number), to))
    }
}

fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut open, mut before) = (Vec::new(), None::<Block>, "");
    for (line, number) in text.lines().zip(1..) {
        match &mut open {
            None if line == "```console" => {
                let directive = before.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
                let directive = directive.unwrap_or_default().to_owned();
                open = Some(Block { line: number, directive, ..Block::default() });
            }
            None => {}
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some(block) => match (line.strip_prefix("$ "), line.strip_prefix("> ")) {
                (Some(command), _) => block.commands.push(command.to_owned()),
                (None, Some(more)) => block.commands.last_mut().unwrap().push_str(&format!("\n{more}")),
                (None, None) => block.shown.push(line.to_owned()),
            },
        }
        before = line;
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// What comes after the first line that fits the pattern, in which `…` stands for anything, and any space for any other.
fn find<'t>(text: &'t str, pattern: &str) -> Option<&'t str> {
    let even = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let pattern = even(pattern);
    let parts: Vec<&str> = pattern.split('…').map(str::trim).collect();
    let fits = |line: &str| {
        let line = even(line);
        let mut rest = Some(line.as_str());
        for (number, part) in parts.iter().enumerate() {
            rest = rest.and_then(|rest| match number {
                0 => rest.strip_prefix(part),
                _ => rest.find(part).map(|at| &rest[at + part.len()..]),
            });
        }
        rest.is_some_and(|rest| rest.is_empty() || parts.len() > 1 && parts.last() == Some(&""))
    };
    let line = text.lines().find(|line| fits(line))?;
    let end = line.as_ptr() as usize - text.as_ptr() as usize + line.len();
    Some(&text[end..])
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

#[test]
fn blocks_are_read_with_their_directives_commands_and_output() {
    let page = "# Title\n\n<!-- exit: 1 -->\n```console\n$ false \\\n> --now\nsaid … twice\n```\n```sh\n$ no\n```\n```console\n$ a\n$ b\n```\n";
    let first = Block {
        line: 4,
        directive: "exit: 1".to_owned(),
        commands: vec!["false \\\n--now".to_owned()],
        shown: vec!["said … twice".to_owned()],
    };
    let second = Block { line: 12, commands: vec!["a".to_owned(), "b".to_owned()], ..Block::default() };
    assert_eq!(blocks(page), [first, second]);
}

#[test]
fn shown_lines_are_found_in_order_and_dots_stand_for_anything() {
    let said = "one 1 two\nthree\n";
    assert_eq!(find(said, "one … two"), Some("\nthree\n"));
    assert_eq!(find(said, "one …"), Some("\nthree\n"));
    assert_eq!(find(said, "… two"), Some("\nthree\n"));
    assert_eq!(find(said, "three"), Some("\n"));
    assert_eq!(find("a    b\n", "a  b"), Some("\n"));
    for wrong in ["one", "one … three", "two", "thre"] {
        assert_eq!(find(said, wrong), None, "{wrong}");
    }
}
