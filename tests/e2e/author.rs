//! An author of rules at work: the loop, the figures and the check, by the real compiler and the real program.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

/// Longest one round of the loop may take: it compiles, perhaps on a machine that compiles other things as well.
const ROUND: Duration = Duration::from_secs(600);

/// What clears a terminal.
const CLEARED: &str = "\u{1b}[2J";

// One walk, because a second directory would compile the SDK once more.
#[test]
fn an_author_works_in_a_loop_measures_and_finds_what_is_wrong() {
    let desk = Desk::new();
    desk.a_change_is_built_and_tried_until_ctrl_c();
    desk.a_terminal_shows_each_round_alone();
    desk.a_costlier_rule_fails_the_bench();
    desk.a_rule_that_does_not_answer_is_not_measured();
    desk.whatever_is_wrong_with_a_plugin_is_found();
    desk.a_schema_the_host_would_not_apply_is_not_built();
}

/// An author's directory. At the same place in every run, so that what was compiled is still there.
struct Desk {
    dir: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugin-tests/desk");
        if dir.exists() {
            fs::remove_dir_all(&dir).unwrap();
        }
        fs::create_dir_all(&dir).unwrap();
        let desk = Self { dir: dir.canonicalize().unwrap() };
        desk.does(&["plugin", "new", "night-desk"]);
        desk
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xnovu"));
        command.args(arguments).current_dir(&self.dir).stdin(Stdio::null());
        command.env("XNOVU_STATE_DIR", self.dir.join("../state"));
        for setting in ["REDIS_URL", "XNOVU_PLUGINS", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
            command.env_remove(setting);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs what must succeed, and answers what it prints.
    fn does(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}\n{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
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
        assert_eq!(answers, ["delivers at 900: alarm to ann", "drops: the tag promo is muted"]);

        self.edit("cases/muted.json", "is muted", "is silenced");
        let failing = rounds.next();
        assert_eq!((&failing["passed"], &failing["failed"]), (&1.into(), &1.into()), "{failing}");

        self.edit("src/lib.rs", "is muted", "is silenced");
        let mended = rounds.next();
        assert_eq!((&mended["passed"], &mended["failed"]), (&2.into(), &0.into()), "{mended}");
        assert_ne!(mended["built"]["digest"], first["built"]["digest"]);

        for (file, from, to, told) in [
            ("plugin.toml", "version = ", "verson = ", "verson"),
            ("src/lib.rs", "Ok(match", "Ok(macth", "cargo could not compile it"),
        ] {
            self.edit(file, from, to);
            let broken = rounds.next();
            assert_eq!(broken["built"], Value::Null, "{broken}");
            assert!(broken["error"].as_str().unwrap().contains(told), "{broken}");
            self.edit(file, to, from);
            assert_eq!(rounds.next()["passed"], 2);
        }
        rounds.end_with_ctrl_c();
    }

    fn a_terminal_shows_each_round_alone(&self) {
        let mut screen = Screen::start(self);
        let first = screen.until("Ctrl-C ends");
        assert!(!first.contains(CLEARED), "what stood there before is not the loop's to remove: {first:?}");
        assert!(
            first.contains("2 passed, 0 failed") && first.contains("it drops: the tag promo is silenced"),
            "{first}"
        );
        self.edit("cases/muted.json", "\"a muted tag is dropped\"", "\"a muted tag is never sent\"");
        let second = screen.until("Ctrl-C ends");
        let (_, shown) = second.split_once(CLEARED).unwrap_or_else(|| panic!("it was not cleared: {second:?}"));
        assert!(shown.contains("changed: cases/muted.json") && shown.contains("a muted tag is never sent"), "{shown}");
    }

    fn a_costlier_rule_fails_the_bench(&self) {
        let bench = |arguments: &[&str]| self.run(&[&["plugin", "bench", "--runs", "20"], arguments].concat());
        let unsaved = bench(&["--max-regression", "0"]);
        assert!(!unsaved.status.success());
        assert!(text(&unsaved.stderr).contains("hint: save a run first"), "{}", text(&unsaved.stderr));
        let shown = bench(&["--save"]);
        assert!(shown.status.success(), "{}", text(&shown.stderr));
        assert!(
            text(&shown.stdout).contains("P50") && text(&shown.stdout).contains(" KiB ("),
            "{}",
            text(&shown.stdout)
        );
        let same = bench(&["--max-regression", "0"]);
        assert!(same.status.success(), "the same component was measured otherwise: {}", text(&same.stdout));

        self.edit(
            "src/lib.rs",
            "Ok(match event.severity()?",
            "std::hint::black_box(event.payload_json().repeat(9));\n        Ok(match event.severity()?",
        );
        self.does(&["plugin", "build"]);
        let costlier = bench(&["--max-regression", "0", "--output", "json"]);
        assert_eq!(costlier.status.code(), Some(1), "{}", text(&costlier.stderr));
        let told: Value = serde_json::from_slice(&costlier.stdout).unwrap();
        let regressions = told["plugins"][0]["regressions"].as_array().unwrap();
        assert!(
            regressions.iter().any(|it| it.as_str().unwrap().starts_with("critical.json: fuel rose by ")),
            "{told}"
        );
        let figures = &told["plugins"][0]["figures"]["cases"]["critical.json"];
        for figure in ["fuel", "memory_bytes", "p50_us", "p99_us"] {
            assert!(figures[figure].as_f64().unwrap() > 0.0, "{figure}: {told}");
        }
        assert_eq!(told["limits"]["fuel"], 10_000_000);
        assert!(bench(&["--max-regression", "10000"]).status.success());
    }

    fn a_rule_that_does_not_answer_is_not_measured(&self) {
        let case = self.plugin().join("cases/endless.json");
        fs::write(
            &case,
            r#"{"event": {"tags": ["promo"]}, "config": {"muted_tags": 7}, "expect": {"admit": {"drop": "x"}}}"#,
        )
        .unwrap();
        let output = self.run(&["plugin", "bench", "--runs", "20"]);
        assert_eq!(output.status.code(), Some(1));
        let told = text(&output.stderr);
        assert!(told.contains("the case endless.json: its config is refused: /muted_tags: "), "{told}");
        fs::remove_file(case).unwrap();
    }

    fn whatever_is_wrong_with_a_plugin_is_found(&self) {
        self.finds("");
        self.edit("plugin.toml", "version = \"0.1.0\"", "version = \"0.2.0\"");
        self.finds("version: plugin.toml says 0.2.0, but the component was built as 0.1.0");
        self.edit("plugin.toml", "version = \"0.2.0\"", "version = \"0.1.0\"");
        self.edit("cases/muted.json", "is silenced", "is loud");
        self.finds("cases: 1 of 2 fail");
        self.edit("cases/muted.json", "is loud", "is silenced");

        let items = |kind: &str| format!("\"items\": {{ \"type\": \"{kind}\" }}");
        self.edit("config.schema.json", &items("string"), &items("integer"));
        self.finds("schema: the component was built with another schema");
        let bindings = "[enterprises.\"*\"]\nplugin = \"night-desk\"\nconfig = { muted_tags = [\"digest\"] }\n";
        fs::write(self.dir.join("plugins/bindings.toml"), bindings).unwrap();
        self.does(&["plugin", "build"]);
        self.names_wrong_settings();
        self.edit("config.schema.json", &items("integer"), &items("string"));
        self.does(&["plugin", "build"]);
        self.edit("config.schema.json", &items("string"), &items("strng"));
        self.finds("schema: reading plugins/night-desk/config.schema.json, the config_schema of plugin.toml: at ");
        self.edit("config.schema.json", &items("strng"), &items("string"));
        self.finds("");
    }

    /// What `check` finds wrong, and nothing else: `what`, or nothing.
    #[track_caller]
    fn finds(&self, what: &str) {
        let output = self.run(&["plugin", "check", "--output", "json"]);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
        let findings = told["plugins"][0]["findings"].as_array().unwrap();
        let wrong = findings.iter().filter(|finding| finding["outcome"] == "wrong");
        let says = wrong.map(|it| format!("{}: {}", it["check"].as_str().unwrap(), it["says"].as_str().unwrap()));
        let says: Vec<_> = says.collect();
        assert_eq!(output.status.code(), Some(i32::from(!says.is_empty())), "{told}");
        assert_eq!(told["ok"], says.is_empty());
        let found = if what.is_empty() { says.is_empty() } else { says.len() == 1 && says[0].contains(what) };
        assert!(found, "{what:?}: {says:?}");
    }

    /// Both the case's settings and those in bindings.toml.
    fn names_wrong_settings(&self) {
        let output = self.run(&["plugin", "check"]);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for place in [
            "plugins/night-desk/cases/muted.json: /muted_tags/0: ",
            "bindings.toml, enterprises.\"*\".config: /muted_tags/0: ",
        ] {
            assert!(said.contains(place), "{place}: {said}");
        }
    }

    fn a_schema_the_host_would_not_apply_is_not_built(&self) {
        self.edit("config.schema.json", "\"type\": \"object\"", "\"$ref\": \"#\", \"type\": \"object\"");
        let output = self.run(&["plugin", "build"]);
        assert_eq!(output.status.code(), Some(1));
        let told = text(&output.stderr);
        assert!(told.contains("config.schema.json, the config_schema of plugin.toml: at \"/$ref/"), "{told}");
        assert!(told.contains("refers to itself"), "{told}");
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

/// `xnovu plugin dev` on a terminal, which `script` plays.
struct Screen {
    child: Child,
    shown: Receiver<Vec<u8>>,
}

impl Screen {
    fn start(desk: &Desk) -> Self {
        let program = env!("CARGO_BIN_EXE_xnovu");
        let mut command = Command::new("script");
        command.args(["-qfec", &format!("exec '{program}' plugin dev plugins/night-desk"), "/dev/null"]);
        command.current_dir(&desk.dir).env("XNOVU_STATE_DIR", desk.dir.join("../state"));
        command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (tell, shown) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = stdout.read(&mut piece) {
                if tell.send(piece[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, shown }
    }

    /// All that is shown until this is.
    fn until(&mut self, what: &str) -> String {
        let mut shown = Vec::new();
        while !text(&shown).contains(what) {
            match self.shown.recv_timeout(ROUND) {
                Ok(piece) => shown.extend(piece),
                Err(error) => panic!("{what:?} is not shown ({error}): {}", text(&shown)),
            }
        }
        text(&shown)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The terminal goes, and with it what runs there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
