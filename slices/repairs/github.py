"""Repairs of GitHub: rows of the table."""

from slices.repairs.table import Repair

REPAIRS: tuple[Repair, ...] = (
    Repair(
        "cut_licence_header",
        "github",
        "the first block comment anywhere that says copyright goes, else every leading line that starts with #, // or "
        "--: shebangs, #include and Markdown titles with it; a second copyright block stays",
        "comments at the head go, in the comment syntax of the file's language, when they speak of copyright or "
        "licence; of line comments up to the last paragraph that does; shebang and coding line stay",
        "LLaMA: 'removed boilerplate, such as headers, with regular expressions'",
        ("#!/bin/sh\n# Copyright 2015 A\necho", "echo", "#!/bin/sh\necho"),
    ),
    Repair(
        "cleaned_key",
        "github",
        "files are told apart before their headers are cut, so copies with another header stay; of equal files the "
        "first stays, and where its ending is not on the list the text is lost",
        "told apart by the cleaned text, with plain line ends and without white space at its end, among files with an "
        "ending on the list",
        "LLaMA deduplicates files 'with exact matches' as the last step, behind the headers",
        ("# Copyright 2015 A\nb; # Copyright 2016 A\nb", "2 files", "1 file"),
    ),
    Repair(
        "min_characters",
        "github",
        "trivial files are published: a require, an empty list",
        "files of less than 50 characters go; the limit is the setting min_characters",
        "our own rule, from reading published files",
        ("'use strict';", "'use strict';", "dropped: min_characters"),
    ),
)
