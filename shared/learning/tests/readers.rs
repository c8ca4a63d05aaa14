//! Arrays of NumPy and folders of images: what is read, and what is refused by name.

use image::{DynamicImage, GrayImage, ImageFormat, Rgb, RgbImage};
use proptest::prelude::*;
use rafty_learning::{DataSet, Task, read_samples};
use std::fs;
use std::path::Path;

fn task(input: &str, data: &str) -> Task {
    let task = Task::from_toml(&format!(
        r#"
        name = "read"
        input = {input}
        classes = 3
        class_names = ["ant", "bee", "cat"]
        holdout_percent = 0
        loss = "cross_entropy"
        optimiser = {{ adam = {{ lr = 0.01 }} }}
        data = {{ {data} }}
        layers = ["flatten", {{ linear = {{ out = 3 }} }}]
        "#
    ));
    task.unwrap()
}

/// An array as NumPy writes it.
fn npy(kind: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    let head = format!("{head:<117}\n");
    [b"\x93NUMPY\x01\x00", &(head.len() as u16).to_le_bytes()[..], head.as_bytes(), values].concat()
}

fn floats(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn arrays(features: &[u8], labels: &[u8], task: &Task) -> Result<DataSet, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("features.npy"), features).unwrap();
    fs::write(folder.path().join("labels.npy"), labels).unwrap();
    DataSet::open(folder.path(), task).map_err(|error| error.to_string())
}

#[test]
fn arrays_of_numbers_and_of_bytes_are_examples() {
    let wide = npy("<f8", "(3, 2)", &floats(&[1.0, -2.5, 3.0, 4.0, 1.0, -2.5]));
    let set = arrays(
        &wide,
        &npy("<i8", "(3,)", &[2, 0, 0, 0, 0, 0, 0, 0].repeat(3)),
        &task("[2]", "format = \"npy\""),
    )
    .unwrap();
    assert_eq!((set.labels(), set.duplicates(), set.memory()), (&[2, 2][..], 1, 16 + 16 + 8));
    assert_eq!(set.sample(0), Some(vec![1.0, -2.5]));

    let images = npy("|u1", "(2, 2, 2)", &[1, 2, 3, 4, 5, 6, 7, 255]);
    let labels = npy("|i1", "(2, 1)", &[1, 0]);
    for input in ["[1, 2, 2]", "[2, 2]"] {
        let set = arrays(&images, &labels, &task(input, "format = \"npy\"")).unwrap();
        assert_eq!((set.labels(), set.sample(1)), (&[1, 0][..], Some(vec![5.0, 6.0, 7.0, 255.0])));
        assert_eq!(set.memory(), 8 + 16 + 8, "bytes stay bytes");
    }
}

#[test]
fn every_kind_of_number_is_read() {
    let cases: [(&str, &[u8], f32); 8] = [
        ("|u1", &[200], 200.0),
        ("|i1", &[0xff], -1.0),
        ("<u2", &[0, 0x80], 32_768.0),
        ("<i2", &[0, 0x80], -32_768.0),
        ("<u4", &[0, 0, 0, 0x80], 2_147_483_648.0),
        ("<i4", &[0, 0, 0, 0x80], -2_147_483_648.0),
        ("<i8", &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], -2.0),
        ("<f4", &[0, 0, 0x80, 0x3f], 1.0),
    ];
    for (kind, bytes, expected) in cases {
        let set =
            arrays(&npy(kind, "(1, 1)", bytes), &npy("|u1", "(1,)", &[0]), &task("[1]", "format = \"npy\""));
        assert_eq!(set.unwrap().sample(0), Some(vec![expected]), "{kind}");
    }
}

#[test]
fn numbers_are_targets_of_a_regression() {
    let task = Task::from_toml(
        r#"
        name = "read"
        input = [1]
        outputs = 2
        tolerance = 0.1
        loss = "mean_squared_error"
        optimiser = { adam = { lr = 0.01 } }
        data = { format = "npy" }
        layers = [{ linear = { out = 2 } }]
        "#,
    )
    .unwrap();
    let features = npy("<f8", "(2, 1)", &floats(&[1.0, 2.0]));
    let set = arrays(&features, &npy("<f8", "(2, 2)", &floats(&[0.5, 1.0, f64::NAN, 1.0])), &task).unwrap();
    assert_eq!((set.len(), set.report().refused), (1, 1));
    assert!(
        set.report().reasons[0]
            .contains("labels.npy, row [1] cannot be used: a target is not a finite number")
    );
    let refusal = arrays(&features, &npy("<f8", "(2,)", &floats(&[0.5, 1.0])), &task).unwrap_err();
    assert!(refusal.contains("its shape is [2], not [2, 2]"), "{refusal}");
}

#[test]
fn broken_arrays_are_refused_by_name() {
    let (good, labels) = (npy("<f8", "(1, 2)", &floats(&[1.0, 2.0])), npy("|u1", "(1,)", &[0]));
    let task = task("[2]", "format = \"npy\"");
    let refusal = |features: &[u8]| arrays(features, &labels, &task).unwrap_err();
    assert!(refusal(b"").contains("features.npy cannot be read: within its head"));
    assert!(
        refusal(&good[..good.len() - 1])
            .contains("its head says shape [1, 2], but 15 bytes of values follow")
    );
    assert!(refusal(&[&good[..], b"x"].concat()).contains("17 bytes of values follow"));
    assert!(refusal(&npy(">f8", "(1, 2)", &floats(&[1.0, 2.0]))).contains("use <f4, <f8 or little-endian"));
    assert!(
        refusal(&npy("<f8", "(1, 3)", &floats(&[1.0; 3]))).contains("shape [2], but features.npy has [3]")
    );
    assert!(refusal(&npy("<f8", "()", &floats(&[1.0]))).contains("0 dimensions"));
    let huge = "(18446744073709551615, 18446744073709551615)";
    assert!(refusal(&npy("<f8", huge, &[])).contains("bytes of values follow"));
    assert!(refusal(&npy("<f8", "(1000000000000000000, 0)", &[])).contains("has no values"));
    let fortran = [
        &good[..10],
        String::from_utf8_lossy(&good[10..128]).replace("False", "True ").as_bytes(),
        &good[128..],
    ]
    .concat();
    assert!(refusal(&fortran).contains("columns first"), "{}", refusal(&fortran));
    assert!(arrays(&good, &npy("|u1", "(2,)", &[0, 1]), &task).unwrap_err().contains("labels.npy"));
    assert!(arrays(&good, &npy("|u1", "(1,)", &[3]), &task).unwrap_err().contains("the label `3` is none"));
    assert!(
        arrays(&good, &npy("<f8", "(1,)", &floats(&[0.5])), &task).unwrap_err().contains("the label `0.5`")
    );
}

#[test]
fn a_task_is_made_for_arrays_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let features = floats(&[1.0, 10.0, 3.0, 10.0, 2.0, 10.0]);
    fs::write(folder.path().join("features.npy"), npy("<f8", "(3, 2)", &features)).unwrap();
    fs::write(folder.path().join("labels.npy"), npy("|u1", "(3,)", &[0, 4, 1])).unwrap();
    let task = Task::for_data(folder.path()).unwrap();
    assert_eq!((task.input.as_slice(), task.classes), (&[2][..], 5));
    assert_eq!((task.data.mean.as_slice(), task.data.std[1]), (&[2.0, 10.0][..], 1.0));
    assert_eq!(DataSet::open(folder.path(), &task).unwrap().len(), 3);
    let samples = read_samples(&folder.path().join("features.npy"), &task).unwrap();
    assert_eq!(samples, [[1.0, 10.0], [3.0, 10.0], [2.0, 10.0]]);
}

fn save(folder: &Path, name: &str, image: &DynamicImage, format: ImageFormat) {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    image.save_with_format(file, format).unwrap();
}

/// 2 by 2: red and green above blue and white.
fn colours() -> DynamicImage {
    let pixels = vec![255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255];
    RgbImage::from_raw(2, 2, pixels).unwrap().into()
}

#[test]
fn images_are_read_by_folder_scaled_and_coloured_as_the_task_wants() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), "bee/a.png", &colours(), ImageFormat::Png);
    save(folder.path(), "cat/b.PNG", &RgbImage::from_pixel(8, 8, Rgb([9, 9, 9])).into(), ImageFormat::Png);
    save(folder.path(), "ant/c.jpeg", &GrayImage::from_pixel(16, 16, [200].into()).into(), ImageFormat::Jpeg);
    let set = DataSet::open(folder.path(), &task("[3, 2, 2]", "format = \"images\"")).unwrap();
    assert_eq!(set.labels(), [0, 1, 2]);
    let red_green_blue = [255u8, 0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255].map(f32::from).to_vec();
    assert_eq!((set.sample(1), set.sample(2)), (Some(red_green_blue), Some(vec![9.0; 12])));
    let grey = DataSet::open(folder.path(), &task("[1, 4, 4]", "format = \"images\"")).unwrap();
    assert_eq!(grey.sample(2), Some(vec![9.0; 16]));
    assert!(grey.sample(0).unwrap().iter().all(|pixel| (pixel - 200.0).abs() <= 1.0));
    let one =
        read_samples(&folder.path().join("bee/a.png"), &task("[3, 2, 2]", "format = \"images\"")).unwrap();
    assert_eq!(one, [set.sample(1).unwrap()]);
}

#[test]
fn pixels_of_any_kind_are_scaled_as_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let plain = DynamicImage::from(RgbImage::from_fn(7, 5, |x, y| {
        Rgb([x * 36, y * 51, 255 - x * y * 8].map(|v| v as u8))
    }));
    let kinds = [plain.clone(), plain.to_rgba8().into(), plain.to_rgb16().into(), plain.to_rgba16().into()];
    let grey = DynamicImage::from(plain.to_luma8());
    let greys = [grey.to_rgb8().into(), grey.to_luma_alpha8().into(), grey.to_luma16().into(), grey];
    // Of 16 bits grey is made before bytes are, which may round otherwise.
    for (input, kinds) in [("[3, 3, 4]", &kinds[..]), ("[1, 3, 4]", &kinds[..2]), ("[3, 3, 4]", &greys[..])] {
        let samples = kinds.iter().map(|kind| {
            save(folder.path(), "any.png", kind, ImageFormat::Png);
            read_samples(&folder.path().join("any.png"), &task(input, "format = \"images\"")).unwrap()
        });
        let samples: Vec<_> = samples.collect();
        assert!(samples.iter().all(|sample| *sample == samples[0]), "{input}: {samples:?}");
    }
}

/// A PNG whose head claims another size; its checksum is right.
fn claiming(width: u32, height: u32) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    colours().write_to(&mut file, ImageFormat::Png).unwrap();
    let mut file = file.into_inner();
    file[16..20].copy_from_slice(&width.to_be_bytes());
    file[20..24].copy_from_slice(&height.to_be_bytes());
    let mut checksum = flate2::Crc::new();
    checksum.update(&file[12..29]);
    file[29..33].copy_from_slice(&checksum.sum().to_be_bytes());
    file
}

#[test]
fn bad_images_are_refused_by_name_and_the_others_count() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), "bee/good.png", &colours(), ImageFormat::Png);
    save(folder.path(), "dog/lost.png", &colours(), ImageFormat::Png);
    fs::write(folder.path().join("bee/bad.jpg"), b"\xff\xd8\xff\xe0 nonsense").unwrap();
    fs::write(folder.path().join("bee/bomb.png"), claiming(60_000, 60_000)).unwrap();
    fs::write(folder.path().join("bee/large.png"), claiming(16_000, 16_000)).unwrap();
    fs::write(folder.path().join("bee/text.png"), b"P3 no image").unwrap();
    fs::write(folder.path().join("bee/coming.png.part"), b"").unwrap();
    let task = task("[1, 2, 2]", "format = \"images\"");
    let set = DataSet::open(folder.path(), &task).unwrap();
    let report = set.report();
    assert_eq!((report.files, report.examples, report.refused), (1, 1, 5), "{report}");
    for (reason, name) in
        report.reasons.iter().zip(["bad.jpg", "bomb.png", "large.png", "text.png", "lost.png"])
    {
        assert!(reason.contains(name) && !reason.contains('\n'), "{reason}");
    }
    let text = report.to_string();
    assert_eq!(text.matches("limit").count(), 2, "sizes are refused before room is made for them: {text}");
    fs::remove_file(folder.path().join("bee/good.png")).unwrap();
    assert!(DataSet::open(folder.path(), &task).unwrap_err().to_string().contains("bad.jpg"));
}

#[test]
fn a_task_is_made_for_images_by_folder() {
    let folder = tempfile::tempdir().unwrap();
    save(
        folder.path(),
        "red/a.png",
        &RgbImage::from_pixel(40, 30, Rgb([255, 0, 0])).into(),
        ImageFormat::Png,
    );
    let error = Task::for_data(folder.path()).unwrap_err().to_string();
    assert!(error.contains("its images are in 1 folders"), "{error}");
    save(
        folder.path(),
        "blue/b.png",
        &RgbImage::from_pixel(40, 30, Rgb([0, 0, 255])).into(),
        ImageFormat::Png,
    );
    let task = Task::for_data(folder.path()).unwrap();
    assert_eq!((task.input.as_slice(), task.class_names.join(" ")), (&[3, 32, 32][..], "blue red".into()));
    let set = DataSet::open(folder.path(), &task).unwrap();
    assert_eq!(set.labels(), [0, 1]);
    assert_eq!(set.sample(1).unwrap()[..2], [255.0, 255.0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_an_image_panic(at: prop::sample::Index, byte: u8, jpeg: bool) {
        let mut file = std::io::Cursor::new(Vec::new());
        colours().write_to(&mut file, if jpeg { ImageFormat::Jpeg } else { ImageFormat::Png }).unwrap();
        let mut file = file.into_inner();
        let at = at.index(file.len());
        file[at] = byte;
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("ant")).unwrap();
        fs::write(folder.path().join("ant/a.png"), file).unwrap();
        if let Ok(set) = DataSet::open(folder.path(), &task("[3, 3, 3]", "format = \"images\"")) {
            prop_assert_eq!(set.len(), 1);
        }
    }
}
