//! The house rules that a compiler does not know: who may import whom, which files may hold
//! `unsafe`, and how long a file may be.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A module names only modules before it. `derived` is what the code of the derives calls.
const ORDER: &[&str] = &[
    "primitive", // atomics
    "error",
    "failure",
    "deadline",
    "plain",
    "shareable",
    "derived",
    "message", // words
    "sys",     // the operating system
    "cpus",    // how many processors this program may use
    "raw",     // machines in memory
    "segment", // named, typed memory
    "sync",    // locks in place
    "placed",
    "shared",
    "atomic",
    "value",
    "array", // typed data
    "queue",
    "channel",
    "pipe",
    "listener", // messages
    "process",
    "select", // other processes, and the first of many
    "progress",
    "workers",
    "parallel", // many tasks, and how far they are
];

/// The files that may hold `unsafe`. Each says in its head, under `# Safety`, why it must.
const UNSAFE: &[&str] = &[
    "array/claim.rs",
    "array/elements.rs",
    "atomic/array.rs",
    "atomic/single.rs",
    "derived.rs",
    "placed.rs",
    "plain.rs",
    "process/call.rs",
    "process/child.rs",
    "process/function.rs",
    "queue/memory.rs",
    "raw/copy.rs",
    "raw/held.rs",
    "raw/life.rs",
    "raw/prefetch.rs",
    "shareable.rs",
    "sync/mutex.rs",
    "sync/place.rs",
    "sync/reentrant.rs",
    "sync/rwlock.rs",
    "sync/versioned.rs",
    "sys/linux/barrier.rs",
    "sys/linux/descriptor.rs",
    "sys/linux/exhaustion.rs",
    "sys/linux/filelock.rs",
    "sys/linux/fork.rs",
    "sys/linux/futex.rs",
    "sys/linux/hooks.rs",
    "sys/linux/identity.rs",
    "sys/linux/image.rs",
    "sys/linux/interrupt.rs",
    "sys/linux/map.rs",
    "sys/linux/parent.rs",
    "sys/linux/per_process.rs",
    "sys/linux/robust.rs",
    "sys/linux/signals.rs",
    "sys/linux/spawn.rs",
    "sys/linux/thread.rs",
    "workers/program.rs",
    "workers/worker.rs",
];

const LONGEST: usize = 600;
const MEDIAN: usize = 150;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every file below `src/`, by its path from there.
fn files() -> BTreeMap<String, String> {
    let (mut files, mut directories) = (BTreeMap::new(), vec![source()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(source()).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

/// The lines that the rule is about: no comments, no unit tests, which may look anywhere.
fn code(text: &str) -> String {
    let product = text.split("#[cfg(test)]\nmod ").next().unwrap();
    product.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The names that directly follow each `prefix`, also in braces: `crate::{a, b::c}` gives a and b.
fn names_after(code: &str, prefix: &str) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + prefix.len()..];
        let group = rest.strip_prefix('{').map(|rest| {
            let mut depth = 1;
            let end = rest.find(|c| {
                depth += i32::from(c == '{') - i32::from(c == '}');
                depth == 0
            });
            &rest[..end.unwrap_or(rest.len())]
        });
        let mut depth = 0;
        for item in group.unwrap_or(rest).split_inclusive(['{', '}', ',']) {
            if depth == 0 {
                let name: String =
                    item.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                names.extend((!name.is_empty()).then_some((line, name)));
            }
            depth += item.matches('{').count() as i32 - item.matches('}').count() as i32;
            if group.is_none() {
                break;
            }
        }
    }
    names
}

#[test]
fn modules_import_only_downwards() {
    let mut wrong = Vec::new();
    for (file, text) in files().iter().filter(|(file, _)| *file != "lib.rs") {
        let module = file.split(['/', '.']).next().unwrap();
        let Some(floor) = ORDER.iter().position(|&name| name == module) else {
            wrong.push(format!("src/{file}: module `{module}` has no place in ORDER"));
            continue;
        };
        for (line, name) in names_after(&code(text), "crate::") {
            match ORDER.iter().position(|&other| other == name) {
                Some(other) if other <= floor => {}
                Some(_) => wrong.push(format!("src/{file}:{line}: `{module}` is below `{name}`")),
                None if name == module => {}
                None => {
                    wrong.push(format!("src/{file}:{line}: import `{name}` from the file where it is born"))
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn siblings_import_only_those_declared_above() {
    let all = files();
    let mut wrong = Vec::new();
    for (contents, text) in all.iter().filter(|(file, _)| file.ends_with("mod.rs")) {
        let directory = contents.strip_suffix("mod.rs").unwrap();
        let declared: Vec<String> = code(text)
            .lines()
            .filter_map(|line| line.trim().rsplit_once("mod ")?.1.strip_suffix(';').map(str::to_owned))
            .collect();
        let place = |name: &str| declared.iter().position(|other| other == name);
        for sibling in &declared {
            let Some(text) = all.get(&format!("{directory}{sibling}.rs")) else { continue };
            let code = code(text);
            let whole = format!("crate::{}::", directory.trim_end_matches('/').replace('/', "::"));
            let names = [names_after(&code, "super::"), names_after(&code, &whole)].concat();
            for (line, name) in names {
                if place(&name).is_some_and(|other| Some(other) >= place(sibling)) {
                    wrong.push(format!("src/{directory}{sibling}.rs:{line}: `{name}` is declared below"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_is_where_the_list_says() {
    let mut wrong = Vec::new();
    for (file, text) in &files() {
        let (listed, allowed) = (UNSAFE.contains(&file.as_str()), text.contains("allow(unsafe_code)"));
        let head: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        match (listed, allowed) {
            (false, true) => wrong.push(format!("src/{file}: allows unsafe and is not in the list")),
            (true, false) => wrong.push(format!("src/{file}: is in the list and needs no unsafe")),
            (true, true) if !head.contains("# Safety") => {
                wrong.push(format!("src/{file}: its head does not say, under `# Safety`, why it must"));
            }
            _ => {}
        }
    }
    let missing = UNSAFE.iter().filter(|file| !source().join(file).exists());
    wrong.extend(missing.map(|file| format!("src/{file}: does not exist")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// So that the models can give the machines other ones.
#[test]
fn machines_take_their_atomics_from_one_place() {
    let files = files();
    let machines = files.iter().filter(|(file, _)| file.starts_with("raw/"));
    let foreign = ["sync::atomic", "hint::", "thread::yield_now"];
    let wrong: Vec<_> =
        machines.filter(|(_, text)| foreign.iter().any(|name| code(text).contains(name))).collect();
    let files: Vec<_> = wrong.iter().map(|(file, _)| file).collect();
    assert!(wrong.is_empty(), "these name atomics or spin otherwise than by `crate::primitive`: {files:?}");
}

#[test]
fn files_hold_one_idea() {
    let mut lengths: Vec<(usize, String)> =
        files().into_iter().map(|(file, text)| (text.lines().count(), file)).collect();
    lengths.sort();
    let (longest, file) = lengths.last().unwrap();
    assert!(*longest <= LONGEST, "src/{file} has {longest} lines");
    let (median, _) = &lengths[lengths.len() / 2];
    assert!(*median <= MEDIAN, "the median file has {median} lines");
}

#[test]
fn the_rules_can_be_broken() {
    let code =
        "use crate::{\n    error::Error,\n    value::{Value, X},\n};\nfn f() { crate::process::spawn() }";
    let names: Vec<_> = names_after(code, "crate::").into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["error", "value", "process"]);
}
