//! First boot: what a card's `rafty.toml` says becomes the device's name, its network and its way into the peer set.
//!
//! The file stands on the boot partition, which any computer can read, so its secrets are taken out of it at once. The
//! token goes into a file of root's and is taken out there too once it has served. Every step may be cut off by a
//! power failure and is then done again at the next boot.
//!
//! It runs as root before the network is up, and asks nobody.

use crate::settings::{Layers, Origin, unknown};
use crate::{Failure, output};
use rafty_storage::replace_file_by;
use rustix::system::sethostname;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use toml::{Table, Value};
use zeroize::Zeroizing;

/// Where the settings of the boot partition are kept for the service.
const STATE: &str = "var/lib/rafty-provision/agent.toml";
/// Longest provisioning file, in bytes.
const MAX_LEN: u64 = 64 * 1024;
/// Longest name of a wireless network, in bytes (IEEE 802.11).
const MAX_SSID_LEN: usize = 32;
/// How long a passphrase is (WPA).
const PASSPHRASE_LEN: std::ops::RangeInclusive<usize> = 8..=63;

const TAKEN: &str = "# This device has been set up from this file; its secrets were taken out.\n\
                     # Write another token here to let it join again.\n";

/// What to do.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ProvisionArgs {
    /// The file on the boot partition
    #[arg(required_unless_present = "joined")]
    file: Option<PathBuf>,
    /// The device has joined: forget the token
    #[arg(long, conflicts_with = "file")]
    joined: bool,
    /// Take this folder for the root of the file system
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

/// How to reach a wireless network.
#[derive(Clone, PartialEq, Eq)]
struct Wifi {
    network: String,
    password: Zeroizing<String>,
    country: Option<String>,
}

pub(crate) fn run(args: &ProvisionArgs) -> Result<(), Failure> {
    let state = args.root.join(STATE);
    let mut kept = read(&state)?.unwrap_or_default();
    let Some(file) = &args.file else {
        return if kept.remove("token").is_some() { save(&state, &kept, "") } else { Ok(()) };
    };
    if !state.exists() {
        // The service is given this file, whatever becomes of the rest.
        save(&state, &kept, "")?;
    }
    let Some(mut given) = read(file)? else {
        output::note(format_args!(
            "{} is not there: nothing was changed; put it on the boot partition, or use `rafty-agent join`",
            file.display()
        ));
        return Ok(());
    };
    let wrong = |why: String| Failure::usage(format!("{}: {why}; nothing was changed", file.display()));
    let wifi = given.remove("wifi").map(wifi).transpose().map_err(wrong)?.flatten();
    Layers::default().table(given.clone(), &Origin::File(file.clone())).map_err(wrong)?;
    if let Some(name) = given.get("name").and_then(Value::as_str) {
        set_name(&args.root, name)?;
    }
    if let Some(wifi) = &wifi {
        set_wifi(&args.root, wifi)?;
    }
    let has_secrets = given.contains_key("token") || wifi.is_some();
    kept.extend(given.clone());
    save(&state, &kept, "")?;
    if has_secrets {
        given.remove("token");
        if let Some(Wifi { network, country, .. }) = wifi {
            let country = country.map(|country| ("country".to_string(), Value::String(country)));
            let network = ("network".to_string(), Value::String(network));
            given.insert(
                "wifi".into(),
                Value::Table([Some(network), country].into_iter().flatten().collect()),
            );
        }
        save(file, &given, TAKEN)?;
    }
    output::note(format_args!("{} was taken over", file.display()));
    Ok(())
}

/// `None` without a password: it was taken over at an earlier boot.
fn wifi(value: Value) -> Result<Option<Wifi>, String> {
    let Value::Table(mut table) = value else { return Err("`wifi` must be a table".into()) };
    let mut text = |key: &str| match table.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`wifi.{key}` must be text")),
    };
    let (network, password, country) =
        (text("network")?, text("password")?.map(Zeroizing::new), text("country")?);
    if let Some(key) = table.keys().next() {
        return Err(unknown(&format!("wifi.{key}"), ["wifi.network", "wifi.password", "wifi.country"]));
    }
    let network = network.filter(|name| (1..=MAX_SSID_LEN).contains(&name.len()));
    let network = network.ok_or(format!("`wifi.network` must have 1 to {MAX_SSID_LEN} bytes"))?;
    if country.as_ref().is_some_and(|code| code.len() != 2 || !code.bytes().all(|b| b.is_ascii_uppercase())) {
        return Err("`wifi.country` must be two capital letters".into());
    }
    let Some(password) = password else { return Ok(None) };
    let printable = password.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !PASSPHRASE_LEN.contains(&password.len()) || !printable {
        return Err("`wifi.password` must have 8 to 63 printable ASCII characters".into());
    }
    Ok(Some(Wifi { network, password, country }))
}

fn set_name(root: &Path, name: &str) -> Result<(), Failure> {
    write(&root.join("etc/hostname"), format!("{name}\n").as_bytes(), false)?;
    let hosts = root.join("etc/hosts");
    let others =
        fs::read_to_string(&hosts).unwrap_or_else(|_| "127.0.0.1\tlocalhost\n::1\tlocalhost\n".into());
    let mut text: String = others
        .lines()
        .filter(|line| !line.starts_with("127.0.1.1"))
        .map(|line| format!("{line}\n"))
        .collect();
    let _ = writeln!(text, "127.0.1.1\t{name}");
    write(&hosts, text.as_bytes(), false)?;
    if root == Path::new("/")
        && let Err(error) = sethostname(name.as_bytes())
    {
        output::note(format_args!("the name is {name} from the next start on: {error}"));
    }
    Ok(())
}

/// For NetworkManager where that is, otherwise for wpa_supplicant.
fn set_wifi(root: &Path, wifi: &Wifi) -> Result<(), Failure> {
    if let Some(country) = &wifi.country {
        let options = format!("options cfg80211 ieee80211_regdom={country}\n");
        write(&root.join("etc/modprobe.d/rafty-wifi.conf"), options.as_bytes(), false)?;
    }
    let manager = root.join("etc/NetworkManager");
    if manager.is_dir() {
        let file = manager.join("system-connections/rafty.nmconnection");
        return write(&file, connection(wifi).as_bytes(), true);
    }
    let file = root.join("etc/wpa_supplicant/wpa_supplicant-wlan0.conf");
    write(&file, network_block(wifi).as_bytes(), true)
}

/// NetworkManager's key file. A name of any bytes is given as their numbers.
fn connection(wifi: &Wifi) -> Zeroizing<String> {
    let name: String = wifi.network.bytes().map(|byte| format!("{byte};")).collect();
    let password = Zeroizing::new(wifi.password.replace('\\', "\\\\").replace(' ', "\\s"));
    Zeroizing::new(format!(
        "[connection]\nid=rafty\ntype=wifi\n\n[wifi]\nmode=infrastructure\nssid={name}\n\n\
         [wifi-security]\nkey-mgmt=wpa-psk\npsk={}\n\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n",
        password.as_str()
    ))
}

/// wpa_supplicant's configuration. A name in hex may have any bytes; a passphrase ends at the last quote of its line.
fn network_block(wifi: &Wifi) -> Zeroizing<String> {
    let name: String = wifi.network.bytes().map(|byte| format!("{byte:02x}")).collect();
    let country = wifi.country.as_ref().map_or(String::new(), |country| format!("country={country}\n"));
    let password = wifi.password.as_str();
    Zeroizing::new(format!(
        "ctrl_interface=/run/wpa_supplicant\n{country}network={{\n\tssid={name}\n\tpsk=\"{password}\"\n}}\n"
    ))
}

/// A settings file as a table; `None` when there is none.
fn read(path: &Path) -> Result<Option<Table>, Failure> {
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("{}: {why}; nothing was changed", path.display()))
    };
    let len = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(|error| wrong(&error))?.len(),
    };
    if len > MAX_LEN {
        return Err(wrong(&format!("it has {len} bytes, at most {MAX_LEN} are read")));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|error| wrong(&error))?);
    text.parse().map(Some).map_err(|error: toml::de::Error| wrong(&error.message()))
}

fn save(path: &Path, table: &Table, heading: &str) -> Result<(), Failure> {
    let text = Zeroizing::new(format!("{heading}{table}"));
    write(path, text.as_bytes(), true)
}

/// Replaces a file whole, on the disk before this returns.
fn write(path: &Path, bytes: &[u8], secret: bool) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::failed(format!(
            "{} cannot be written: {error}; it is as it was; start again",
            path.display()
        ))
    };
    path.parent().map_or(Ok(()), fs::create_dir_all).map_err(|error| failed(&error))?;
    replace_file_by(&path.with_extension("new"), path, bytes, secret).map_err(|error| failed(&error))?;
    if !secret {
        // Whatever this process was started with, all may read it. FAT knows no modes; not getting one is no error.
        let _ = fs::set_permissions(path, Permissions::from_mode(0o644));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "name = 'pi-07'\ntoken = 'rafty1secret'\npeers = ['192.168.1.20:7400']\n\
                        [wifi]\nnetwork = 'our \"home\"'\npassword = 'top secret\\'\ncountry = 'DE'\n";

    struct Card {
        root: tempfile::TempDir,
    }

    impl Card {
        fn new(file: Option<&str>) -> Self {
            let card = Self { root: tempfile::tempdir().unwrap() };
            fs::create_dir_all(card.path("boot")).unwrap();
            file.into_iter().for_each(|text| fs::write(card.path("boot/rafty.toml"), text).unwrap());
            card
        }

        fn path(&self, path: &str) -> PathBuf {
            self.root.path().join(path)
        }

        fn provision(&self) -> Result<(), Failure> {
            let file = Some(self.path("boot/rafty.toml"));
            run(&ProvisionArgs { file, joined: false, root: self.root.path().into() })
        }

        fn text(&self, path: &str) -> String {
            fs::read_to_string(self.path(path)).unwrap()
        }
    }

    #[test]
    fn a_card_is_taken_over_and_its_secrets_leave_the_boot_partition() {
        let card = Card::new(Some(FULL));
        card.provision().unwrap();
        assert_eq!(card.text("etc/hostname"), "pi-07\n");
        assert!(card.text("etc/hosts").contains("127.0.1.1\tpi-07"));
        let state: Table = card.text(STATE).parse().unwrap();
        assert_eq!(state["token"].as_str(), Some("rafty1secret"));
        assert!(!state.contains_key("wifi"));
        assert_eq!(fs::metadata(card.path(STATE)).unwrap().permissions().mode() & 0o777, 0o600);
        let left = card.text("boot/rafty.toml");
        assert!(
            !left.contains("rafty1secret")
                && !left.contains("top secret")
                && left.contains("pi-07")
                && left.contains("home"),
            "{left}"
        );
        let network = card.text("etc/wpa_supplicant/wpa_supplicant-wlan0.conf");
        assert!(
            network.contains("ssid=6f75722022686f6d6522\n") && network.contains("psk=\"top secret\\\"\n")
        );
        // The next boot finds no secrets and forgets none.
        card.provision().unwrap();
        assert!(card.text(STATE).contains("rafty1secret"));
        run(&ProvisionArgs { file: None, joined: true, root: card.root.path().into() }).unwrap();
        assert!(!card.text(STATE).contains("token") && card.text(STATE).contains("peers"));
    }

    #[test]
    fn what_a_cut_off_boot_left_behind_gets_no_secret() {
        let card = Card::new(Some(FULL));
        let files =
            [STATE, "boot/rafty.toml", "etc/hostname", "etc/wpa_supplicant/wpa_supplicant-wlan0.conf"];
        for file in files {
            let left = card.path(file).with_extension("new");
            fs::create_dir_all(left.parent().unwrap()).unwrap();
            fs::write(&left, "cut off").unwrap();
            fs::set_permissions(&left, Permissions::from_mode(0o666)).unwrap();
        }
        let beside = |file: &str| card.path(file).with_extension("new");
        let readers = files.map(|file| fs::File::open(beside(file)).unwrap());
        card.provision().unwrap();
        for mut reader in readers {
            let mut seen = String::new();
            std::io::Read::read_to_string(&mut reader, &mut seen).unwrap();
            assert_eq!(seen, "cut off", "whoever had it open reads nothing new");
        }
        let mode = |file: &str| fs::metadata(card.path(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(files.map(mode), [0o600, 0o600, 0o644, 0o600]);
        assert!(files.iter().all(|file| !beside(file).exists()));
    }

    #[test]
    fn network_manager_gets_a_connection_of_its_own() {
        let card = Card::new(Some(FULL));
        fs::create_dir_all(card.path("etc/NetworkManager")).unwrap();
        card.provision().unwrap();
        let connection = card.text("etc/NetworkManager/system-connections/rafty.nmconnection");
        assert!(
            connection.contains("ssid=111;117;114;32;34;") && connection.contains("psk=top\\ssecret\\\\\n")
        );
    }

    #[test]
    fn a_card_without_a_file_is_no_error_and_the_service_gets_empty_settings() {
        let card = Card::new(None);
        card.provision().unwrap();
        assert_eq!(card.text(STATE), "");
        assert!(!card.path("etc/hostname").exists());
    }

    #[test]
    fn a_file_that_cannot_be_used_changes_nothing_but_keeps_its_token() {
        for (wrong, said) in [
            ("tokn = 'x'", "did you mean `token`?"),
            ("[wifi]\nnetwork = 'a'\npasword = 'longenough'", "did you mean `wifi.password`?"),
            ("[wifi]\nnetwork = 'a'\npassword = 'short'", "8 to 63"),
            ("[wifi]\npassword = 'longenough'", "wifi.network"),
            ("name = 'a b'\ntoken = 't'", "host name"),
            ("wifi = 3", "table"),
            ("= =", ""),
        ] {
            let card = Card::new(Some(wrong));
            let failure = card.provision().unwrap_err();
            assert!(failure.message.contains(said), "{wrong}: {failure}");
            assert_eq!(failure.code, crate::failure::USAGE);
            assert_eq!(card.text("boot/rafty.toml"), wrong);
            assert_eq!(card.text(STATE), "");
        }
    }
}
