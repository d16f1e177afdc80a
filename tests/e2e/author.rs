//! An author of rules, at a terminal: the tutorial of `docs/plugins.md` as it is written, and the loop of who works on.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

/// Longest one round of an author's loop may take: it compiles, perhaps on a machine that compiles other things as well.
const ROUND: Duration = Duration::from_secs(600);

/// The part of the documentation a newcomer follows.
const TUTORIAL: &str = "## From nothing to a live rule";

/// One block of the tutorial.
enum Step {
    /// A file to write.
    File(PathBuf, String),
    /// A command, and what it prints: each line in this order, numbers and digests aside; `...` stands for any lines.
    Command(String, Vec<String>),
}

// One test, because a second directory would compile the SDK once more.
#[test]
fn the_tutorial_does_what_it_says_and_the_authors_loop_goes_on_from_there() {
    let desk = Desk::new();
    let steps = tutorial();
    assert!(steps.len() >= 7, "the tutorial has shrunk to {} steps", steps.len());
    for step in steps {
        match step {
            Step::File(path, text) => fs::write(desk.dir.join(path), text).unwrap(),
            Step::Command(command, wanted) => desk.shows(&command, &wanted),
        }
    }
    desk.a_change_is_built_and_tried_until_ctrl_c();
    desk.a_costlier_rule_fails_the_bench();
    desk.whatever_is_wrong_with_a_plugin_is_found();
}

/// An author's directory. At the same place in every run, so that what was compiled is still there.
struct Desk {
    dir: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugin-tests");
        let dir = target.join("desk");
        if dir.exists() {
            fs::remove_dir_all(&dir).unwrap();
        }
        fs::create_dir_all(&dir).unwrap();
        Self { dir: dir.canonicalize().unwrap() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xnovu"));
        command.args(arguments).current_dir(&self.dir).stdin(Stdio::null());
        command.env("XNOVU_STATE_DIR", self.dir.join("../state"));
        for setting in ["REDIS_URL", "XNOVU_PLUGINS"] {
            command.env_remove(setting);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command of the tutorial and compares what it prints.
    fn shows(&self, command: &str, wanted: &[String]) {
        let arguments: Vec<&str> = command.split(' ').skip(1).collect();
        let output = self.run(&arguments);
        let (said, noted) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{command}: {}\n{said}\n{noted}", output.status);
        let said: Vec<String> = said.lines().map(masked).collect();
        let mut rest = said.iter();
        for line in wanted.iter().filter(|line| line.trim() != "...") {
            let wanted = masked(line);
            assert!(
                rest.any(|said| *said == wanted),
                "{command}: the tutorial shows {wanted:?}, but it prints\n{}",
                said.join("\n")
            );
        }
    }

    fn plugin(&self) -> PathBuf {
        self.dir.join("plugins/night-desk")
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.plugin().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}");
        fs::write(&path, text.replace(from, to)).unwrap();
    }

    fn a_change_is_built_and_tried_until_ctrl_c(&self) {
        let rounds = Rounds::start(self);
        let first = rounds.next();
        assert_eq!(
            (&first["passed"], &first["failed"], &first["error"]),
            (&2.into(), &0.into(), &Value::Null),
            "{first}"
        );
        let answers: Vec<_> =
            first["cases"].as_array().unwrap().iter().map(|case| case["answer"].as_str().unwrap()).collect();
        assert_eq!(answers[1], "drops: the tag promo is muted", "{answers:?}");

        self.edit("cases/muted.json", "is muted", "is silenced");
        let failing = rounds.next();
        assert_eq!((&failing["passed"], &failing["failed"]), (&1.into(), &1.into()), "{failing}");

        self.edit("src/lib.rs", "is muted", "is silenced");
        let mended = rounds.next();
        assert_eq!((&mended["passed"], &mended["failed"]), (&2.into(), &0.into()), "{mended}");
        assert_ne!(mended["built"]["digest"], first["built"]["digest"]);

        self.edit("plugin.toml", "version = ", "verson = ");
        let broken = rounds.next();
        assert_eq!(broken["built"], Value::Null, "{broken}");
        assert!(broken["error"].as_str().unwrap().contains("verson"), "{broken}");

        self.edit("plugin.toml", "verson = ", "version = ");
        assert_eq!(rounds.next()["passed"], 2);
        rounds.end_with_ctrl_c();
    }

    fn a_costlier_rule_fails_the_bench(&self) {
        let unsaved = self.run(&["plugin", "bench", "--runs", "20", "--max-regression", "0"]);
        assert!(!unsaved.status.success());
        assert!(text(&unsaved.stderr).contains("hint: save a run first"), "{}", text(&unsaved.stderr));
        assert!(self.run(&["plugin", "bench", "--runs", "20", "--save"]).status.success());
        let same = self.run(&["plugin", "bench", "--runs", "20", "--max-regression", "0"]);
        assert!(same.status.success(), "the same component was measured otherwise: {}", text(&same.stdout));

        let saved = self.plugin().join("bench.json");
        let mut figures: Value = serde_json::from_str(&fs::read_to_string(&saved).unwrap()).unwrap();
        let fuel = figures["cases"]["muted.json"]["fuel"].as_u64().unwrap();
        figures["cases"]["muted.json"]["fuel"] = (fuel / 2).into();
        fs::write(&saved, figures.to_string()).unwrap();
        let costlier = self.run(&["plugin", "bench", "--runs", "20", "--max-regression", "90", "--output", "json"]);
        assert_eq!(costlier.status.code(), Some(1), "{}", text(&costlier.stderr));
        let told: Value = serde_json::from_slice(&costlier.stdout).unwrap();
        let regressions = told["plugins"][0]["regressions"].as_array().unwrap();
        assert_eq!(regressions.len(), 1, "{told}");
        assert!(regressions[0].as_str().unwrap().starts_with("muted.json: fuel rose by 100"), "{told}");
        assert!(self.run(&["plugin", "bench", "--runs", "20", "--max-regression", "101"]).status.success());
    }

    fn whatever_is_wrong_with_a_plugin_is_found(&self) {
        let found = |what: &str| {
            let output = self.run(&["plugin", "check", "--output", "json"]);
            let told: Value = serde_json::from_slice(&output.stdout).unwrap();
            let findings = told["plugins"][0]["findings"].as_array().unwrap();
            let wrong: Vec<_> = findings.iter().filter(|finding| finding["outcome"] == "wrong").cloned().collect();
            assert_eq!(output.status.code(), Some(i32::from(!wrong.is_empty())), "{told}");
            assert_eq!(told["ok"], wrong.is_empty());
            let says = wrong.iter().map(|finding| {
                format!("{}: {}", finding["check"].as_str().unwrap(), finding["says"].as_str().unwrap())
            });
            let says: Vec<_> = says.collect();
            assert!(
                if what.is_empty() { says.is_empty() } else { says.len() == 1 && says[0].contains(what) },
                "{what:?}: {says:?}"
            );
        };
        found("");
        self.edit("plugin.toml", "version = \"0.1.0\"", "version = \"0.2.0\"");
        found("version: plugin.toml says 0.2.0, but the component was built as 0.1.0");
        self.edit("plugin.toml", "version = \"0.2.0\"", "version = \"0.1.0\"");
        self.edit("cases/muted.json", "is silenced", "is loud");
        found("cases: 1 of 2 fail");
        self.edit("cases/muted.json", "is loud", "is silenced");
        self.edit("config.schema.json", "\"items\": { \"type\": \"string\" }", "\"items\": { \"type\": \"integer\" }");
        self.wrong_settings_are_named();
        self.edit("config.schema.json", "\"items\": { \"type\": \"integer\" }", "\"items\": { \"type\": \"strng\" }");
        found("schema: it is no JSON schema at /properties/muted_tags/items/type");
        self.edit("config.schema.json", "\"items\": { \"type\": \"strng\" }", "\"items\": { \"type\": \"string\" }");
        found("");
    }

    /// Both the case's settings and those in bindings.toml.
    fn wrong_settings_are_named(&self) {
        let output = self.run(&["plugin", "check"]);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for place in ["plugins/night-desk/cases/muted.json: muted_tags.0: ", "bindings.toml, enterprises."] {
            assert!(said.contains(place), "{place}: {said}");
        }
    }
}

/// `xnovu plugin dev`, as a script reads it.
struct Rounds {
    child: Child,
    lines: Receiver<String>,
}

impl Rounds {
    fn start(desk: &Desk) -> Self {
        let mut command = desk.command(&["plugin", "dev", "plugins/night-desk", "--output", "json"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child, lines }
    }

    fn next(&self) -> Value {
        let line = self.lines.recv_timeout(ROUND).expect("no further round");
        serde_json::from_str(&line).unwrap()
    }

    fn end_with_ctrl_c(mut self) {
        let asked = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(asked.success());
        assert!(self.child.wait().unwrap().success(), "Ctrl-C is no failure of the loop");
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The steps of the tutorial: its blocks of commands, and of files that begin with their path.
fn tutorial() -> Vec<Step> {
    let documentation = include_str!("../../docs/plugins.md");
    let (_, section) = documentation.split_once(TUTORIAL).expect("the documentation has no tutorial");
    let section = section.split("\n## ").next().unwrap();
    let mut steps = Vec::new();
    for block in section.split("```").skip(1).step_by(2) {
        let (language, block) = block.split_once('\n').unwrap();
        if language == "console" {
            for lines in block.split("$ ").skip(1) {
                let (command, output) = lines.split_once('\n').unwrap();
                assert!(command.starts_with("xnovu "), "the test cannot run {command:?}");
                steps.push(Step::Command(command.to_owned(), output.lines().map(str::to_owned).collect()));
            }
        } else if let Some(path) = block.lines().next().and_then(|line| line.strip_prefix("# ")) {
            steps.push(Step::File(path.into(), block.to_owned()));
        }
    }
    steps
}

/// A line without what differs from run to run: numbers, digests, times.
fn masked(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let hex = word.len() == 12 && word.chars().all(|c| c.is_ascii_hexdigit());
        if hex { "#".to_owned() } else { word.replace(|c: char| c.is_ascii_digit(), "#") }
    });
    let mut masked = words.collect::<Vec<_>>().join(" ");
    while masked.contains("##") || masked.contains("#.#") || masked.contains("#,#") {
        masked = masked.replace("##", "#").replace("#.#", "#").replace("#,#", "#");
    }
    masked
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
