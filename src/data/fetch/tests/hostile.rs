//! Servers that stall, lie, lead elsewhere or send anything but the file: the next mirror is asked,
//! and nothing is written but the file.

use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::{server::CERTIFICATE, *};

/// For servers that say nothing; a good answer takes a small part of it.
const SHORT: Duration = Duration::from_secs(1);

/// Answers `bad` below `/bad/` and the file elsewhere; the fetch must end with the latter. Returns
/// how often the former was tried.
fn tries_of(bad: Reply) -> usize {
    let server = Server::start(move |path, range, _| {
        if path.starts_with("/bad/") { bad.clone() } else { Reply::file(&file_at(path), range) }
    });
    let root = tempfile::tempdir().unwrap();
    let into = root.path().join("cache");
    prepare_first(&into, None);
    let mirrors = [format!("{}/bad", server.base), format!("{}/good", server.base)];
    fetch_with(
        Fetcher::with(insecure(), Duration::ZERO, SHORT),
        &entry(&[&mirrors[0], &mirrors[1]]),
        &into,
    )
    .0
    .unwrap();
    assert!(first_is_complete(&into));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "written beside the cache folder");
    assert_eq!(fs::read_dir(into.join("toy")).unwrap().count(), NAMES.len(), "something was left");
    let (bad, good): (Vec<_>, Vec<_>) =
        server.requests().into_iter().partition(|request| request.starts_with("/bad/"));
    assert!(!good.is_empty(), "the file came from elsewhere: {bad:?}");
    bad.len()
}

#[test]
fn servers_that_stall_or_drip_are_given_up() {
    let silent = Reply { raw: Some(Vec::new()), stall: true, ..Reply::default() };
    let halfway = Reply { cut: Some(15_000), stall: true, ..Reply::new(200, gzip(&content(0))) };
    let dripping =
        Reply { drip: Some(Duration::from_millis(2)), ..Reply::new(200, gzip(&content(0))) };
    for reply in [silent, halfway, dripping] {
        assert_eq!(tries_of(reply), ATTEMPTS as usize);
    }
}

#[test]
fn a_stalled_download_goes_on_where_it_stopped() {
    let server = Server::start(|path, range, before| Reply {
        cut: (before == 0).then_some(15_000),
        stall: before == 0,
        ..Reply::file(&file_at(path), range)
    });
    let into = tempfile::tempdir().unwrap();
    prepare_first(into.path(), None);
    fetch_with(
        Fetcher::with(insecure(), Duration::ZERO, SHORT),
        &entry(&[&server.base]),
        into.path(),
    )
    .0
    .unwrap();
    assert!(first_is_complete(into.path()));
    assert_eq!(
        server.requests(),
        [format!("/{}.gz 0", NAMES[0]), format!("/{}.gz 15000", NAMES[0])]
    );
}

#[test]
fn lies_about_the_length_are_found_out() {
    let file = gzip(&content(0));
    let declared = |length: &str| Reply {
        headers: vec![format!("Content-Length: {length}")],
        ..Reply::new(200, &file[..])
    };
    // More than there is: it may have broken off. Less: what arrives is not the file. Far too much:
    // not even begun.
    assert_eq!(tries_of(declared(&(file.len() + 1000).to_string())), ATTEMPTS as usize);
    assert_eq!(tries_of(declared("1000")), 1);
    assert_eq!(tries_of(declared(&u64::MAX.to_string())), 1);
    for nonsense in ["-1", "99999999999999999999999999", "many"] {
        assert!((1..=ATTEMPTS as usize).contains(&tries_of(declared(nonsense))), "{nonsense}");
    }
    let range = |range: &str| Reply {
        headers: vec![format!("Content-Range: {range}")],
        ..Reply::new(206, &file[..])
    };
    for lie in
        ["bytes 0-18446744073709551615/18446744073709551615", "bytes 7-9/10", "bytes */*", "\u{1}"]
    {
        assert!((1..=ATTEMPTS as usize).contains(&tries_of(range(lie))), "{lie}");
    }
}

/// Once a part is there, lengths are added to it.
#[test]
fn lies_about_the_rest_of_a_part_are_found_out() {
    let part = &gzip(&content(0))[..30_000];
    for (range, length) in [
        ("30000-40000/*", u64::MAX),
        ("30000-40000/*", u64::MAX - 30_000),
        ("30000-40000/18446744073709551615", 7),
    ] {
        let lie = Reply {
            headers: vec![
                format!("Content-Range: bytes {range}"),
                format!("Content-Length: {length}"),
            ],
            ..Reply::new(206, "a few bytes")
        };
        let server = Server::start(move |path, range, _| {
            if path.starts_with("/bad/") { lie.clone() } else { Reply::file(&file_at(path), range) }
        });
        let into = tempfile::tempdir().unwrap();
        let mirrors = [format!("{}/bad", server.base), format!("{}/good", server.base)];
        fetch_first(&entry(&[&mirrors[0], &mirrors[1]]), into.path(), Some(part)).unwrap();
        assert!(first_is_complete(into.path()));
        let (good, bad) =
            (format!("/good/{}.gz 30000", NAMES[0]), format!("/bad/{}.gz 30000", NAMES[0]));
        assert_eq!(server.requests(), [bad, good], "{length}: not even begun");
    }
}

#[test]
fn redirects_to_anything_but_the_web_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, gzip(&content(0))).unwrap();
    for place in [
        format!("file://{}", secret.display()),
        "data:,file".into(),
        "ftp://127.0.0.1/x".into(),
        "gopher:".into(),
    ] {
        let redirect = Reply { headers: vec![format!("Location: {place}")], ..Reply::new(302, "") };
        // Taken for a place on the same server at most: five redirects.
        assert!((1..=6).contains(&tries_of(redirect)), "{place}");
    }
    for place in ["", "http://", "\u{7f}"] {
        let redirect = Reply { headers: vec![format!("Location: {place}")], ..Reply::new(302, "") };
        // Back to where it came from, in a circle, or an error.
        assert!((1..=6).contains(&tries_of(redirect)), "{place}");
    }
}

#[test]
fn garbage_in_place_of_an_answer() {
    let raw = |bytes: Vec<u8>| Reply { raw: Some(bytes), ..Reply::default() };
    let noise: Vec<u8> = (0..5000_u32).map(|n| (n * 37 % 251) as u8).collect();
    let endless =
        [b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-More: and more\r\n".repeat(60_000)].concat();
    for reply in
        [raw(noise), raw(Vec::new()), raw(b"HTTP/1.1 999999 \r\n\r\n".to_vec()), raw(endless)]
    {
        assert!((1..=ATTEMPTS as usize).contains(&tries_of(reply)));
    }
    // The file within another gzip, said to be an encoding; a bomb within one.
    let encoded = |body: Vec<u8>| Reply {
        headers: vec!["Content-Encoding: gzip".into()],
        ..Reply::new(200, gzip(&body))
    };
    assert!(tries_of(encoded(vec![0; 10_000_000])) <= ATTEMPTS as usize);
    assert!(tries_of(encoded(gzip(&content(9)))) <= ATTEMPTS as usize);
}

#[test]
fn names_from_a_server_are_nothing() {
    let server = Server::start(|path, range, _| Reply {
        headers: vec![
            "Content-Disposition: attachment; filename=\"../../../evil\"".into(),
            "Content-Location: /etc/passwd".into(),
        ],
        ..Reply::file(&file_at(path), range)
    });
    let root = tempfile::tempdir().unwrap();
    let into = root.path().join("a/b/cache");
    fetch_from(&entry(&[&server.base]), &into).0.unwrap();
    let names = |folder: &Path| -> Vec<_> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    for (folder, only) in [("", "a"), ("a", "b"), ("a/b", "cache"), ("a/b/cache", "toy")] {
        assert_eq!(names(&root.path().join(folder)), [only]);
    }
    let mut expected = NAMES.map(|name| std::ffi::OsString::from(format!("{name}.gz")));
    expected.sort();
    assert_eq!(names(&into.join("toy")), expected);
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_a_download_is_not_written_through() {
    let server = Server::start(|path, range, _| Reply::file(&file_at(path), range));
    let root = tempfile::tempdir().unwrap();
    let precious = root.path().join("precious");
    fs::write(&precious, "mine").unwrap();
    let into = root.path().join("cache");
    prepare_first(&into, None);
    std::os::unix::fs::symlink(&precious, into.join("toy").join(format!("{}.gz.part", NAMES[0])))
        .unwrap();
    let error = fetch_from(&entry(&[&server.base]), &into).0.unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
    assert_eq!(fs::read(&precious).unwrap(), b"mine");
    assert!(server.requests().is_empty());
}

/// HTTPS only, trusting the tests' certificate.
fn secure() -> Config {
    let roots = RootCerts::from(vec![Certificate::from_der(CERTIFICATE).to_owned()]);
    let tls = TlsConfig::builder().root_certs(roots).build();
    Agent::config_builder().https_only(true).proxy(None).tls_config(tls).build()
}

#[test]
fn over_tls_only_who_can_prove_it_is_believed() {
    let server = Server::secure(|path, range, _| Reply::file(&file_at(path), range));
    let into = tempfile::tempdir().unwrap();
    let entry = entry(&[&server.base]);
    let strangers = Agent::config_builder().https_only(true).proxy(None).build();
    fetch_with(Fetcher::with(strangers, Duration::ZERO, PATIENCE), &entry, into.path())
        .0
        .unwrap_err();
    assert!(server.requests().is_empty());
    fetch_with(Fetcher::with(secure(), Duration::ZERO, PATIENCE), &entry, into.path()).0.unwrap();
    assert_eq!(server.requests().len(), NAMES.len());
}

#[test]
fn a_redirect_to_plain_http_is_not_followed() {
    let plain = Server::start(|path, range, _| Reply::file(&file_at(path), range));
    let base = plain.base.clone();
    let server = Server::secure(move |path, range, _| match path.strip_prefix("/bad") {
        Some(file) => {
            Reply { headers: vec![format!("Location: {base}{file}")], ..Reply::new(302, "") }
        }
        None => Reply::file(&file_at(path), range),
    });
    let into = tempfile::tempdir().unwrap();
    prepare_first(into.path(), None);
    let mirrors = [format!("{}/bad", server.base), format!("{}/good", server.base)];
    let (result, events) = fetch_with(
        Fetcher::with(secure(), Duration::ZERO, PATIENCE),
        &entry(&[&mirrors[0], &mirrors[1]]),
        into.path(),
    );
    result.unwrap();
    assert!(first_is_complete(into.path()));
    assert!(
        events.iter().any(|event| event.starts_with("Failed") && event.contains("is not HTTPS")),
        "{events:?}"
    );
    assert!(plain.requests().is_empty());
}
