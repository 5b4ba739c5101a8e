use super::*;

const HTML: &str = r#"<!doctype html>
<meta http-equiv="Content-Security-Policy" content="default-src 'self';
  script-src 'self'" />
<link rel="stylesheet" href="./style.css" />
<script type="application/json" id="files">{}</script>
<script defer src="./start.js" data-script="./page.js"></script>
<img src="./pretrained/m.png"> <a href="./style.css#top">style</a>
"#;

/// A safetensors file of tensors of bytes.
fn safetensors(tensors: &[(&str, &[u8])]) -> Vec<u8> {
    let mut header = json!({ "__metadata__": { "format": "1" } });
    let mut data = Vec::new();
    for (name, bytes) in tensors {
        let begin = data.len();
        data.extend_from_slice(bytes);
        header[name] =
            json!({ "dtype": "U8", "shape": [bytes.len()], "data_offsets": [begin, data.len()] });
    }
    let header = header.to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(&data);
    file
}

fn built() -> Files {
    let model = safetensors(&[
        ("backward.0.weight", b"back"),
        ("forward.0.weight", b"forward"),
        ("log_z", b"z"),
    ]);
    [
        ("index.html", HTML.as_bytes().to_vec()),
        ("style.css", b"a {}".to_vec()),
        ("start.js", b"import(it)".to_vec()),
        ("page.js", b"1".to_vec()),
        ("lab.js", b"2".to_vec()),
        ("pretrained/m.safetensors", model),
        ("pretrained/m.png", b"3".to_vec()),
        ("pretrained/manifest.json", b"{}".to_vec()),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into()
}

fn text<'a>(files: &'a Files, name: &str) -> &'a str {
    std::str::from_utf8(&files[name]).expect("it is text")
}

/// The table in the HTML.
fn map(files: &Files) -> BTreeMap<String, String> {
    let html = text(files, PAGE);
    let (_, rest) = html.split_once("id=\"files\"").expect("it has a table");
    let (_, rest) = rest.split_once('>').expect("its tag ends");
    let (json, _) = rest.split_once("</script>").expect("it ends");
    serde_json::from_str(json).expect("it is JSON")
}

#[test]
fn every_file_is_named_by_its_content_and_the_page_knows_the_names() {
    let built = built();
    let finished = finished(built.clone()).expect("a sound folder");
    let map = map(&finished);
    for (plain_name, name) in map.iter().filter(|(plain, _)| *plain != WORKER) {
        assert_eq!(&plain(name), plain_name);
        assert_eq!(name, &hashed(plain_name, &finished[name]));
        if let Some(bytes) = built.get(plain_name) {
            assert_eq!(&finished[name], bytes, "{plain_name}");
        }
    }
    let html = text(&finished, PAGE);
    assert!(html.contains(&format!("href=\"./{}\"", map["style.css"])));
    assert!(html.contains(&format!("href=\"./{}#top\"", map["style.css"])));
    assert!(html.contains(&format!("data-script=\"./{}\"", map["page.js"])));
    assert!(!finished.contains_key("style.css"), "under one name only");
    assert!(finished.contains_key("pretrained/m.safetensors"));
    // The worker knows all of them, each once, and the version that the HTML states.
    let worker = text(&finished, WORKER);
    for name in map.values().filter(|name| *name != WORKER) {
        assert_eq!(worker.matches(name.as_str()).count(), 1, "{name}");
    }
    let list = |constant: &str| -> Vec<String> {
        let (_, rest) = worker
            .split_once(&format!("const {constant} = "))
            .expect(constant);
        serde_json::from_str(rest.split_once(';').expect("it ends").0).expect("JSON")
    };
    assert!(list("LATER").contains(&map["lab.js"]));
    assert!(list("LATER").contains(&map["pretrained/m.safetensors"]));
    assert!(list("CORE").contains(&map["pretrained/forward/m.safetensors"]));
    assert!(list("CORE").contains(&map["page.js"]));
    assert!(
        list("CORE").contains(&map["pretrained/m.png"]),
        "the HTML has it"
    );
    assert!(!finished.contains_key("pretrained/m.png"));
    // What the page does not fetch is called as it was.
    assert!(finished.contains_key("pretrained/manifest.json"));
    assert!(!map.contains_key("pretrained/manifest.json"));
    let (_, version) = worker.split_once("const VERSION = \"").expect("a version");
    let (version, _) = version.split_once('"').expect("it ends");
    assert_eq!(version.len(), 16);
    assert!(html.contains(&format!("data-version=\"{version}\"")));
    assert!(
        text(&finished, HEADERS)
            .starts_with("/*\n  Content-Security-Policy: default-src 'self'; script-src 'self'\n")
    );
}

#[test]
fn finishing_again_changes_nothing_and_a_changed_file_changes_its_name_and_the_version() {
    let once = finished(built()).expect("sound");
    assert_eq!(finished(once.clone()).expect("sound"), once);

    let mut changed = once.clone();
    let style = map(&once)["style.css"].clone();
    changed.insert(style.clone(), b"b {}".to_vec());
    let twice = finished(changed).expect("sound");
    let (before, after) = (map(&once), map(&twice));
    assert!(!twice.contains_key(&style));
    assert_ne!(before["style.css"], after["style.css"]);
    assert_eq!(before["page.js"], after["page.js"]);
    assert_ne!(text(&once, WORKER), text(&twice, WORKER));

    // A plain name is from the repository, and newer than what was made of it.
    let mut retrained = once.clone();
    let model = safetensors(&[("forward.0.weight", b"f"), ("backward.0.weight", b"b")]);
    retrained.insert("pretrained/m.safetensors".into(), model.clone());
    let retrained = finished(retrained).expect("sound");
    let name = &map(&retrained)["pretrained/m.safetensors"];
    assert_eq!(retrained[name], model);
}

#[test]
fn the_forward_part_has_the_same_bytes() {
    let whole = safetensors(&[
        ("backward.a", b"1234"),
        ("forward.b", b"56"),
        ("log_z", b"7"),
    ]);
    let part = forward_part(&whole).expect("sound").expect("it has both");
    let length = u64::from_le_bytes(part[..8].try_into().expect("8 bytes")) as usize;
    assert_eq!(length % 8, 0);
    let header: serde_json::Value = serde_json::from_slice(&part[8..8 + length]).expect("JSON");
    assert_eq!(header["__metadata__"]["format"], "1");
    assert_eq!(header["forward.b"]["data_offsets"], json!([0, 2]));
    assert_eq!(header["log_z"]["data_offsets"], json!([2, 3]));
    assert_eq!(header.get("backward.a"), None);
    assert_eq!(&part[8 + length..], b"567");

    assert_eq!(forward_part(&safetensors(&[("forward.b", b"5")])), Ok(None));
    assert!(forward_part(b"<!doctype html>").is_err());
    assert!(
        forward_part(&whole[..whole.len() - 3]).is_err(),
        "cut short"
    );
}

#[track_caller]
fn refused(file: &str, bytes: &str, why: &str) {
    let mut files = built();
    files.insert(file.into(), bytes.as_bytes().to_vec());
    let error = finished(files).expect_err("it is unsound").to_string();
    assert!(error.contains(file) && error.contains(why), "{error}");
}

#[test]
fn what_the_policy_forbids_and_names_that_lead_nowhere_are_refused() {
    for bad in [
        "<script>alert(1)</script>",
        "<script type=\"module\">import './a.js'</script>",
        "<style>a {}</style>",
        "<p style=\"left: 0\">",
        "<p onclick=\"alert(1)\">",
    ] {
        refused(PAGE, &format!("{HTML}{bad}"), "forbids");
    }
    refused(PAGE, &format!("{HTML}<a href=\"./gone.css\">"), "gone.css");
    refused(PAGE, &HTML.replace("id=\"files\"", ""), "files");
    refused(PAGE, &HTML.replace("http-equiv", "name"), "Policy");
    refused("page.js", "import a from './start.js'", "by name");
    let mut twice = built();
    twice.insert("page-0123456789abcdef.js".into(), Vec::new());
    let error = finished(twice).expect_err("which is the page?").to_string();
    assert!(error.contains("page.js: there are two"), "{error}");
    refused("pretrained/m.safetensors", "<!doctype html>", "safetensors");
}

#[test]
fn live_reload_moves_to_a_file_and_is_not_kept_by_a_worker() {
    let reload = "<script>\"use strict\"; const a = '{{__TRUNK_ADDRESS__}}', \
                  b = '{{__TRUNK_WS_BASE__}}', c = '{{__TRUNK_WS_PROTOCOL__}}';</script>";
    let mut files = built();
    files.insert(PAGE.into(), format!("{HTML}{reload}").into_bytes());
    let finished = finished(files).expect("sound");
    let map = map(&finished);
    let script = text(&finished, &map["reload.js"]);
    assert!(
        script.contains("const a = location.host, b = '/'"),
        "{script}"
    );
    assert!(text(&finished, PAGE).contains(&format!("src=\"./{}\"", map["reload.js"])));
    assert!(!map.contains_key(WORKER), "the page has none to register");
    // What an earlier page registered here retires.
    assert_eq!(text(&finished, WORKER), WORKER_SOURCE);
}

#[test]
fn what_trunk_does_not_make_is_put_in() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let [folder, article, part] =
        ["dist", "article.html", "kernels.wasm"].map(|n| place.path().join(n));
    let parts = [part.to_str().expect("a name")];
    write(&folder.join(PAGE), b"<body><!-- article --></body>").expect("written");
    fs::write(&article, "<main>It samples.</main>").expect("written");
    let missing = assemble(&folder, &article, &parts).expect_err("no kernels");
    assert!(missing.to_string().contains("kernels.wasm"), "{missing}");

    write(&folder.join(PAGE), b"<body><!-- article --></body>").expect("written");
    fs::write(&part, "code").expect("written");
    assemble(&folder, &article, &parts).expect("assembled");
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect(name);
    assert_eq!(read(PAGE), "<body><main>It samples.</main></body>");
    assert_eq!(read("kernels.wasm"), "code");
    let twice = assemble(&folder, &article, &parts).expect_err("no place for it");
    assert!(twice.to_string().contains("index.html"), "{twice}");
}

#[test]
fn a_folder_is_finished_whole_or_left_and_then_compressed() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let folder = place.path().join("dist");
    for (name, bytes) in built() {
        write(&folder.join(name), &bytes).expect("written");
    }
    fs::write(folder.join("page.js"), "import './start.js'").expect("written");
    let before = list(&folder).expect("listed");
    finish(&folder, None).expect_err("it imports by name");
    assert_eq!(list(&folder).expect("listed"), before);

    fs::write(folder.join("page.js"), "1".repeat(1000)).expect("written");
    finish(&folder, None).expect("sound");
    // Files of the same bytes, which are compressed by one of the threads.
    for copy in 0..200 {
        let same = (copy / 2).to_string().repeat(500);
        fs::write(folder.join(format!("{copy}.txt")), same).expect("written");
    }
    let kept = place.path().join("kept");
    compress(&folder, &kept).expect("compressed");
    for name in list(&folder).expect("listed") {
        if names::is_compressed(&name) || name == HEADERS || name.ends_with(".png") {
            continue;
        }
        let bytes = fs::read(folder.join(&name)).expect("read");
        let packed = |suffix: &str| fs::read(folder.join(format!("{name}{suffix}"))).expect(&name);
        let mut unpacked = Vec::new();
        brotli::BrotliDecompress(&mut &*packed(".br"), &mut unpacked).expect("Brotli");
        assert_eq!(unpacked, bytes, "{name}");
        unpacked.clear();
        let packed = packed(".gz");
        let mut gzip = flate2::read::GzDecoder::new(&*packed);
        io::Read::read_to_end(&mut gzip, &mut unpacked).expect("gzip");
        assert_eq!(unpacked, bytes, "{name}");
    }

    // What was compressed before is taken from there, and what is no longer needed goes.
    let page = fs::read(folder.join(PAGE)).expect("read");
    let entry = kept.join(format!("{}.gz", names::hex(&Sha256::digest(&page))));
    fs::write(&entry, "taken").expect("written");
    fs::write(kept.join("0000000000000000.gz"), "").expect("written");
    compress(&folder, &kept).expect("compressed");
    assert_eq!(
        fs::read(folder.join("index.html.gz")).expect("read"),
        b"taken"
    );
    assert!(!kept.join("0000000000000000.gz").exists());

    // Finishing again begins without them.
    finish(&folder, None).expect("sound");
    assert!(!folder.join("index.html.br").exists());
}

#[test]
fn the_picture_of_a_link_gets_a_whole_address() {
    let html = r#"<meta property="og:image" content="og.png" />"#;
    let whole = with_address(html, "https://example.org/tour/").expect("an address");
    assert_eq!(
        whole,
        r#"<meta property="og:image" content="https://example.org/tour/og.png" />"#
    );
    assert_eq!(with_address(&whole, "https://a.org").expect("done"), whole);
    for bad in ["", "example.org", "https://a.org/\"", "javascript:x"] {
        let why = with_address(html, bad).expect_err(bad).to_string();
        assert!(why.contains("GFLOWNET_TOUR_ADDRESS"), "{why}");
    }
}

#[test]
fn the_licences_are_those_of_the_wasm_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = licences(&root).expect("each crate has one");
    let (list, texts) = text.split_once("\nText 1\n").expect("texts");
    let parts: Vec<&str> = list.trim_end().split("\n\n").skip(2).collect();
    let names: Vec<&str> = parts
        .iter()
        .filter_map(|part| part.split(' ').next())
        .collect();
    for name in ["leptos", "wgpu", "safetensors", "wasm-bindgen", "wide"] {
        assert!(names.contains(&name), "{name} is in one of them");
    }
    // Of native programs, of macros, and of this workspace.
    for name in [
        "brotli",
        "clap",
        "criterion",
        "serde_derive",
        "gflownet-tour-core",
    ] {
        assert!(!names.contains(&name), "{name} is in none");
    }
    let count = 1 + texts.matches("\nText ").count();
    for part in parts {
        let (_, numbers) = part.split_once("\n    texts: ").expect(part);
        for number in numbers.trim().split(", ") {
            let number: usize = number.parse().expect(part);
            assert!((1..=count).contains(&number), "{part}");
        }
    }
}

#[test]
fn a_licence_without_its_text_is_found_or_missed_by_name() {
    let known = |licence| licences::known(licence, "A. Author");
    for licence in ["MIT OR Apache-2.0", "Apache-2.0/MIT", "Apache-2.0"] {
        assert!(
            known(licence).is_some_and(|text| text.contains("Version 2.0, January 2004")),
            "{licence}"
        );
    }
    let mit = known("MIT").expect("known");
    assert!(mit.contains("Copyright (c) A. Author\n"), "{mit}");
    for licence in [
        "",
        "ISC",
        "MIT AND ISC",
        "Apache-2.0 WITH LLVM-exception",
        "LIMIT",
    ] {
        assert_eq!(known(licence), None, "{licence}");
    }

    let package = tempfile::tempdir().expect("a temporary folder");
    let json = json!({
        "name": "some", "version": "1.2.3", "license": "ISC", "authors": [],
        "manifest_path": package.path().join("Cargo.toml"),
    });
    let why = licences::part(&json).expect_err("no text").to_string();
    assert!(why.contains("some 1.2.3") && why.contains("`ISC`"), "{why}");
    // What Cargo packs of a link is the path that it had.
    fs::write(package.path().join("LICENSE"), "../LICENSE").expect("written");
    licences::part(&json).expect_err("no text still");
    fs::write(package.path().join("LICENSE"), "Be kind.").expect("written");
    fs::write(package.path().join("NOTICE"), "Be  kind.\n").expect("written");
    let part = licences::part(&json).expect("a text");
    assert_eq!(part.texts.len(), 2);
    let text = licences::listed(&[part]);
    assert!(
        text.contains("some 1.2.3: ISC") && text.contains("texts: 1, 1\n"),
        "{text}"
    );
}
