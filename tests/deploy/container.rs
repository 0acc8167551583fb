//! The program where a container has it: no file of the system around it, nothing that can be written but its data, a user
//! whom nobody knows, process 1. Namespaces make that of one folder; no engine is needed, but the right to make them.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::common::tokens::ISSUER;
use crate::common::{CLERK, SECRET};
use crate::process::{Process, Said, said};
use crate::{is_root, skip};

/// A user without a name.
const USER: u32 = 65532;

/// Makes the folder the root of all, read only but for `data`, and runs the program in it.
const CONTAIN: &str = r#"
mount --bind "$ROOT" "$ROOT" && mount --bind "$ROOT/data" "$ROOT/data" &&
mount -o remount,bind,ro "$ROOT" && exec chroot --userspec=65532:65532 "$ROOT" /bin/rollbook "$@""#;

/// What would be in the image: the program, and what its linker wants of it here, where it is not a static one.
struct Image(TempDir);

impl Image {
    fn build() -> Self {
        let image = Self(tempfile::tempdir().unwrap());
        fs::set_permissions(image.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
        image.put(Path::new(env!("CARGO_BIN_EXE_rollbook")), Path::new("bin/rollbook"));
        let linked = Command::new("ldd").arg(env!("CARGO_BIN_EXE_rollbook")).output().unwrap();
        let linked = String::from_utf8(linked.stdout).unwrap();
        for library in linked.split_whitespace().filter(|word| word.starts_with('/')) {
            image.put(Path::new(library), Path::new(library).strip_prefix("/").unwrap());
        }
        fs::create_dir(image.data()).unwrap();
        chown(image.data(), Some(USER), Some(USER)).unwrap();
        image
    }

    fn put(&self, from: &Path, to: &Path) {
        let to = self.0.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        // A copy of a program with its lines is large; a name more for it is not.
        fs::hard_link(fs::canonicalize(from).unwrap(), &to).or_else(|_| fs::copy(from, &to).map(drop)).unwrap();
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", CONTAIN, "sh"]).args(arguments);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("ROOT", self.0.path())
            .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)
            .env("CLERK_ISSUER", ISSUER)
            .env("CLERK_JWT_KEY", CLERK.pem())
            .env("CLERK_SECRET_KEY", "sk_test_canary0123456789")
            .env("ROLLBOOK_LISTEN", "127.0.0.1:0")
            .env("ROLLBOOK_DATA", "/data/rollbook.redb")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }
}

/// Whether such a place can be made here.
fn can_contain() -> bool {
    let may = is_root()
        && Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "sh", "-c", "mount -t tmpfs x /mnt && chroot --version"])
            .output()
            .is_ok_and(|output| output.status.success());
    if !may {
        skip("a container", "no right to make one, or no unshare, mount or chroot");
    }
    may
}

#[test]
fn it_runs_alone_with_nothing_to_write_but_its_data() {
    if !can_contain() {
        return;
    }
    let image = Image::build();
    assert_eq!(image.run(&["healthcheck"]).code, Some(1), "nothing runs yet");
    let mut server = Process::start(image.command(&["serve"]));
    assert_eq!(server.connect().deliver("msg_1", "{}").unwrap().0, 200);
    assert_eq!(image.run(&["healthcheck"]).done(), "");
    let data = fs::metadata(image.data().join("rollbook.redb")).unwrap();
    assert_eq!((data.uid(), data.mode() & 0o777), (USER, 0o600));

    // That it is as said, and what comes of it.
    let refused = image.run(&["export", "users", "--out", "/users.jsonl"]);
    assert!(refused.code == Some(1) && refused.err.contains("Read-only file system"), "{}", refused.err);
    let doctor = image.run(&["doctor"]);
    assert!(doctor.out.contains("Clerk's API  no certificates found on this system"), "{}", doctor.out);
    assert!(doctor.out.contains("round trip   a signed event was taken"), "{}", doctor.out);
    assert!(image.run(&["backup", "/data/copy.redb"]).done().contains("proved"));

    // Signal 15 is for process 1 in there.
    let inside = server.child_of_child().unwrap();
    let kill = format!("kill -TERM {inside}");
    assert!(!server.has_ended());
    assert!(Command::new("/bin/sh").args(["-c", &kill]).status().unwrap().success());
    let (status, told) = server.wait();
    assert!(status.success(), "{status}: {told}");
    assert_eq!(image.run(&["healthcheck"]).code, Some(1), "nothing runs any more");
    let verified = image.run(&["verify"]);
    assert_eq!(verified.code, Some(0), "{}{}", verified.out, verified.err);
}

#[test]
fn a_volume_that_is_somebody_elses_is_said_plainly() {
    if !can_contain() {
        return;
    }
    let image = Image::build();
    chown(image.data(), Some(0), Some(0)).unwrap();
    let refused = image.run(&["serve"]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.starts_with("ROLLBOOK_DATA: ") && refused.err.contains("Permission denied"), "{}", refused.err);
}
