//! Which packages Cargo puts into the program: those that `cargo tree` names for a normal build, neither tests' nor build
//! scripts' nor macros'.

use crate::{
    error::{HarnessError, RunError, Trouble},
    submission::command::{Ended, run},
};
use serde::Deserialize;
use std::{path::Path, process::Command, time::Duration};

const DEADLINE: Duration = Duration::from_secs(60);

/// A package from elsewhere: from a registry, a repository, or a folder outside the submission.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, without the `v`.
    pub version: String,
    /// The features that are switched on.
    pub features: Vec<String>,
    /// The packages through which it comes, the submission's own left out: empty if the submission itself asks for it.
    pub through: Vec<String>,
}

/// What `cargo metadata` says, as far as it is needed.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    name: String,
    version: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// The foreign packages in the program of the Cargo package in `folder`, each where it is first met. `None` when Cargo does
/// not say.
///
/// # Errors
///
/// When Cargo cannot be started, or the user interrupted.
pub fn packages(folder: &Path) -> Result<Option<Vec<Package>>, Trouble> {
    let Some(members) = cargo(folder, &["metadata", "--no-deps", "--format-version", "1"])? else {
        return Ok(None);
    };
    let Some(spec) = specification(&members) else { return Ok(None) };
    let arguments =
        ["tree", "-e", "normal,no-proc-macro", "--prefix", "depth", "--format", "|{p}|{f}", "-p", &spec];
    Ok(cargo(folder, &arguments)?.map(|tree| foreign(&tree, folder)))
}

/// `name@version` of the package whose program is `pool_server`.
fn specification(metadata: &str) -> Option<String> {
    // Warnings may come first; the object begins with the first brace of its own line.
    let json = metadata.lines().find(|line| line.starts_with('{'))?;
    let metadata: Metadata = serde_json::from_str(json).ok()?;
    let is_it =
        |target: &Target| target.name == "pool_server" && target.kind.iter().any(|kind| kind == "bin");
    let member = metadata.packages.into_iter().find(|member| member.targets.iter().any(is_it))?;
    Some(format!("{}@{}", member.name, member.version))
}

/// What Cargo says; `None` if it fails or takes too long. It has everything since the build, so it needs no network.
fn cargo(folder: &Path, arguments: &[&str]) -> Result<Option<String>, Trouble> {
    let mut command = Command::new("cargo");
    command.args(arguments).arg("--offline").current_dir(folder);
    command.env("CARGO_TERM_COLOR", "never").env("LC_ALL", "C");
    match run(command, DEADLINE) {
        Ok((Ended::Exit(status), output)) if status.success() => Ok(Some(output)),
        Ok(_) => Ok(None),
        Err(RunError::Interrupted) => Err(Trouble::Interrupted),
        Err(RunError::Harness(error)) => Err(error.into()),
        Err(other) => Err(HarnessError::Broken(other.to_string()).into()),
    }
}

/// Reads the lines of a tree, such as `1|libc v0.2.1|default,std`.
fn foreign(tree: &str, folder: &Path) -> Vec<Package> {
    let mut found: Vec<Package> = Vec::new();
    // The packages above the current line: `None` for the submission's own.
    let mut above: Vec<Option<String>> = Vec::new();
    for line in tree.lines() {
        let mut fields = line.splitn(3, '|');
        let (Some(depth), Some(package)) =
            (fields.next().and_then(|n| n.parse::<usize>().ok()), fields.next())
        else {
            continue;
        };
        // A subtree that was shown before ends with (*).
        let features = fields.next().unwrap_or_default().trim_end_matches("(*)").trim();
        let mut words = package.split_whitespace();
        let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let own = package.split_once(" (/").is_some_and(|(_, path)| is_own(path, folder));
        above.truncate(depth);
        if !own {
            let through: Vec<String> = above.iter().flatten().cloned().collect();
            let package = Package {
                name: name.to_owned(),
                version: version.trim_start_matches('v').to_owned(),
                features: features.split(',').filter(|f| !f.is_empty()).map(str::to_owned).collect(),
                through,
            };
            match found
                .iter_mut()
                .find(|known| known.name == package.name && known.version == package.version)
            {
                // Nearer is better: what the submission itself asks for is its own doing.
                Some(known) if package.through.len() < known.through.len() => *known = package,
                Some(_) => {}
                None => found.push(package),
            }
        }
        above.push((!own).then(|| name.to_owned()));
    }
    found
}

/// Whether the rest of `(/path)` lies in the folder.
fn is_own(rest: &str, folder: &Path) -> bool {
    let path = format!("/{}", rest.split(')').next().unwrap_or_default());
    Path::new(&path).starts_with(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_tree_is_read_with_features_and_ways() {
        let tree = "warning: unused manifest key\n\
                    0|pool_server v0.1.0 (/tmp/x/source)|\n\
                    1|image v0.25.1|default,rayon\n\
                    2|rayon v1.10.0|\n\
                    3|rayon-core v1.12.1| (*)\n\
                    1|own v0.1.0 (/tmp/x/source/own)|\n\
                    2|tokio v1.40.0|default,rt\n\
                    1|elsewhere v0.1.0 (/home/me/elsewhere)|\n\
                    1|rayon v1.10.0| (*)\n";
        let found = foreign(tree, Path::new("/tmp/x/source"));
        let brief: Vec<_> = found.iter().map(|p| (p.name.as_str(), p.through.join(" > "))).collect();
        let expected =
            [("image", ""), ("rayon", ""), ("rayon-core", "image > rayon"), ("tokio", ""), ("elsewhere", "")];
        assert_eq!(brief, expected.map(|(name, through)| (name, through.to_owned())));
        assert_eq!(
            (found[3].features.as_slice(), found[3].version.as_str()),
            (["default", "rt"].map(str::to_owned).as_slice(), "1.40.0")
        );
    }

    #[test]
    fn the_package_with_the_program_is_the_one_that_is_asked() {
        let target = |name: &str, kind: &str| format!(r#"{{"name":"{name}","kind":["{kind}"]}}"#);
        let member = |name: &str, target: &str| {
            format!(r#"{{"name":"{name}","version":"1.2.3","targets":[{target}]}}"#)
        };
        let lib = member("pool", &target("pool_server", "lib"));
        let bin = member("server", &target("pool_server", "bin"));
        let metadata = format!("warning: x\n{{\"packages\":[{lib},{bin}]}}\n");
        assert_eq!(specification(&metadata).unwrap(), "server@1.2.3");
        assert_eq!(specification("nothing"), None);
    }

    /// A package whose one dependency stands in a folder that replaces the registry: Cargo takes it for the registry's.
    #[test]
    fn a_package_from_a_registry_is_found_and_the_submissions_own_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let package =
            |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"1.8.1\"\nedition = \"2021\"\n");
        write(
            "Cargo.toml",
            &(package("pool_server")
                + "[dependencies]\nthreadpool = \"1.8\"\nmine = { path = \"mine\" }\n[dev-dependencies]\nrayon = \"1.8\"\n"),
        );
        write("src/main.rs", "fn main() {}\n");
        write("mine/Cargo.toml", &package("mine"));
        write("mine/src/lib.rs", "");
        for name in ["threadpool", "rayon"] {
            write(&format!("vendor/{name}/Cargo.toml"), &package(name));
            write(&format!("vendor/{name}/src/lib.rs"), "");
            write(&format!("vendor/{name}/.cargo-checksum.json"), r#"{"files":{},"package":null}"#);
        }
        write(
            ".cargo/config.toml",
            "[source.crates-io]\nreplace-with = \"vendored\"\n[source.vendored]\ndirectory = \"vendor\"\n",
        );
        let found = packages(&root).unwrap().unwrap();
        let expected = Package { name: "threadpool".into(), version: "1.8.1".into(), ..Package::default() };
        assert_eq!(found, [expected]);
        assert_eq!(packages(&root.join("src/none")).ok().flatten(), None);
    }
}
