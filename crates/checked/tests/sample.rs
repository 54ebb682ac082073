//! The report in the documents is that of the example. `GPU_STREAM_BLESS=1` writes the page and the picture.

use std::fs;
use std::path::Path;

#[path = "../examples/missing_wait.rs"]
#[allow(dead_code, reason = "the example's `main` is not called")]
mod missing_wait;

#[test]
fn documents_show_the_report_of_the_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (page, picture) =
        (root.join("docs/checked-report.md"), root.join("docs/checked-report.svg"));
    if !page.exists() {
        println!("skipped: the package has no documents");
        return;
    }
    let error = missing_wait::first_error().expect("the library is run, and an error is found");
    // The compiler's path of a module that is included is not that of the example.
    let renamed = |text: String| text.replace("tests/../examples/", "examples/");
    let (text, drawn) = (renamed(error.to_string()), renamed(error.to_svg()));
    let read = |path: &Path| fs::read_to_string(path).expect("the document can be read");
    let (before, shown, after) = block(&read(&page));
    if std::env::var_os("GPU_STREAM_BLESS").is_some() {
        fs::write(&page, format!("{before}{text}{after}")).expect("the page can be written");
        fs::write(&picture, drawn).expect("the picture can be written");
    } else {
        assert_eq!(shown, text, "docs/checked-report.md");
        assert_eq!(read(&picture), drawn, "docs/checked-report.svg");
    }
    let readme = read(&root.join("README.md"));
    let start = readme.find("error[read-after-write]").expect("README.md shows the report");
    let lines = readme[start..].lines().take_while(|line| *line != "```");
    for line in lines {
        let is_shown = text.lines().any(|other| other == line);
        assert!(is_shown, "README.md shows a line that the report has not: {line}");
    }
}

/// Returns what is before, in and after the first block of text of a page.
fn block(page: &str) -> (String, String, String) {
    let (before, rest) = page.split_once("```text\n").expect("the page has a block of text");
    let (shown, after) = rest.split_once("\n```").expect("the block ends");
    (format!("{before}```text\n"), shown.to_owned(), format!("\n```{after}"))
}
