//! Makes a small picture of every PNG and JPEG picture in a directory, in one worker per CPU. A picture
//! that is broken, or kills its worker, is told at the end; the others do not notice.
//!
//! `cargo run --release --example thumbnails -- DIR OUT`

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{ExitCode, exit},
};

use commons::{Failure, Parallel};
use image::{GenericImageView, ImageFormat};

/// No side is longer.
const SIDE: u32 = 256;

/// Writes the small picture, of the same name, into the directory `out`.
fn shrink(path: &Path, out: &Path) -> Result<(), Failure> {
    let picture = image::open(path)?;
    let (width, height) = picture.dimensions();
    let small = picture.thumbnail(width.min(SIDE), height.min(SIDE));
    small.save(out.join(path.file_name().unwrap_or_default()))?;
    Ok(())
}

fn pictures_in(directory: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut pictures = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if let Ok(ImageFormat::Png | ImageFormat::Jpeg) = ImageFormat::from_path(&path) {
            pictures.push(path);
        }
    }
    pictures.sort_unstable();
    Ok(pictures)
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    commons::init();
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(directory), Some(out), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        eprintln!("usage: thumbnails DIR OUT");
        exit(2);
    };
    fs::create_dir_all(&out)?;
    if fs::canonicalize(&out)? == fs::canonicalize(&directory)? {
        return Err("OUT is DIR: the small pictures would replace the large ones".into());
    }

    let pictures = pictures_in(&directory)?;
    let outcomes = Parallel::new()
        .progress(true)
        .with(out)
        .try_outcomes(pictures.clone(), |out, picture| shrink(&picture, out));

    let mut bad = 0;
    for (picture, outcome) in pictures.iter().zip(outcomes) {
        if let Err(error) = outcome {
            eprintln!("{}: {error}", picture.display());
            bad += 1;
        }
    }
    println!("{} of {} pictures", pictures.len() - bad, pictures.len());
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
