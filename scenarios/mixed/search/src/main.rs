//! Prints the lines of standard input that hold all the words given.

use memchr::memmem::Finder;
use std::io::{stdin, BufRead};

fn holds_all(line: &str, words: &[String]) -> bool {
    words.iter().all(|word| Finder::new(word.as_bytes()).find(line.as_bytes()).is_some())
}

fn main() -> std::io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    for line in stdin().lock().lines() {
        let line = line?;
        if holds_all(&line, &words) {
            println!("{line}");
        }
    }
    Ok(())
}

#[test]
fn every_word_must_be_there() {
    let words = ["red".to_string(), "car".to_string()];
    assert!(holds_all("a red old car", &words));
    assert!(!holds_all("a red bus", &words));
}
