//! The names of months and days in languages of Europe, so that dates that are written with them can be read.
//!
//! Sources: the names of the Unicode CLDR (<https://cldr.unicode.org>), without accents and dots as people leave them
//! out, too. There is no I/O.

/// Months and days of one language: each the full name and what it is shortened to, one behind the other.
pub(super) struct Language {
    code: &'static str,
    months: [&'static [&'static str]; 12],
    days: [&'static [&'static str]; 7],
}

const ENGLISH_MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const ENGLISH_DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// The languages' codes.
pub(super) fn codes() -> impl Iterator<Item = &'static str> {
    std::iter::once("en").chain(LANGUAGES.iter().map(|language| language.code))
}

/// The language of this code; none for English, which needs no translation, and for one that is not known.
pub(super) fn language(code: &str) -> Option<&'static Language> {
    LANGUAGES.iter().find(|language| language.code == code)
}

impl Language {
    /// The text with the names of months and days in English, in full or as three letters. A word that is no such name
    /// stays as it is.
    pub(super) fn in_english(&self, text: &str, full_month: bool, full_day: bool) -> String {
        let mut english = String::with_capacity(text.len() + 8);
        let mut rest = text;
        while let Some(start) = rest.find(char::is_alphabetic) {
            let (before, word) = rest.split_at(start);
            english.push_str(before);
            let end = word.find(|c: char| !c.is_alphabetic()).unwrap_or(word.len());
            let (word, after) = word.split_at(end);
            rest = after;
            let plain = word.to_lowercase();
            let short = |name: &'static str, full: bool| if full { name } else { &name[..3] };
            let at = |names: &[&[&str]]| names.iter().position(|names| names.contains(&plain.as_str()));
            match (at(&self.months), at(&self.days)) {
                (Some(month), _) => english.push_str(short(ENGLISH_MONTHS[month], full_month)),
                (None, Some(day)) => english.push_str(short(ENGLISH_DAYS[day], full_day)),
                (None, None) => {
                    english.push_str(word);
                    continue;
                }
            }
            // The dot of a shortened name.
            rest = rest.strip_prefix('.').unwrap_or(rest);
        }
        english.push_str(rest);
        english
    }
}

const LANGUAGES: &[Language] = &[
    Language {
        code: "de",
        months: [
            &["januar", "jan", "jänner", "jän"],
            &["februar", "feb", "feber"],
            &["märz", "mär", "mrz", "maerz"],
            &["april", "apr"],
            &["mai"],
            &["juni", "jun"],
            &["juli", "jul"],
            &["august", "aug"],
            &["september", "sep", "sept"],
            &["oktober", "okt"],
            &["november", "nov"],
            &["dezember", "dez"],
        ],
        days: [
            &["montag", "mo"],
            &["dienstag", "di"],
            &["mittwoch", "mi"],
            &["donnerstag", "do"],
            &["freitag", "fr"],
            &["samstag", "sonnabend", "sa"],
            &["sonntag", "so"],
        ],
    },
    Language {
        code: "fr",
        months: [
            &["janvier", "janv"],
            &["février", "févr", "fevrier", "fevr"],
            &["mars"],
            &["avril", "avr"],
            &["mai"],
            &["juin"],
            &["juillet", "juil"],
            &["août", "aout"],
            &["septembre", "sept"],
            &["octobre", "oct"],
            &["novembre", "nov"],
            &["décembre", "déc", "decembre", "dec"],
        ],
        days: [
            &["lundi", "lun"],
            &["mardi", "mar"],
            &["mercredi", "mer"],
            &["jeudi", "jeu"],
            &["vendredi", "ven"],
            &["samedi", "sam"],
            &["dimanche", "dim"],
        ],
    },
    Language {
        code: "es",
        months: [
            &["enero", "ene"],
            &["febrero", "feb"],
            &["marzo", "mar"],
            &["abril", "abr"],
            &["mayo", "may"],
            &["junio", "jun"],
            &["julio", "jul"],
            &["agosto", "ago"],
            &["septiembre", "setiembre", "sept", "sep", "set"],
            &["octubre", "oct"],
            &["noviembre", "nov"],
            &["diciembre", "dic"],
        ],
        days: [
            &["lunes", "lun"],
            &["martes"],
            &["miércoles", "mié", "miercoles", "mie"],
            &["jueves", "jue"],
            &["viernes", "vie"],
            &["sábado", "sáb", "sabado", "sab"],
            &["domingo", "dom"],
        ],
    },
    Language {
        code: "it",
        months: [
            &["gennaio", "gen"],
            &["febbraio", "feb"],
            &["marzo", "mar"],
            &["aprile", "apr"],
            &["maggio", "mag"],
            &["giugno", "giu"],
            &["luglio", "lug"],
            &["agosto", "ago"],
            &["settembre", "set", "sett"],
            &["ottobre", "ott"],
            &["novembre", "nov"],
            &["dicembre", "dic"],
        ],
        days: [
            &["lunedì", "lunedi", "lun"],
            &["martedì", "martedi"],
            &["mercoledì", "mercoledi", "mer"],
            &["giovedì", "giovedi", "gio"],
            &["venerdì", "venerdi", "ven"],
            &["sabato", "sab"],
            &["domenica", "dom"],
        ],
    },
    Language {
        code: "pt",
        months: [
            &["janeiro", "jan"],
            &["fevereiro", "fev"],
            &["março", "mar", "marco"],
            &["abril", "abr"],
            &["maio", "mai"],
            &["junho", "jun"],
            &["julho", "jul"],
            &["agosto", "ago"],
            &["setembro", "set"],
            &["outubro", "out"],
            &["novembro", "nov"],
            &["dezembro", "dez"],
        ],
        days: [
            &["segunda", "seg"],
            &["terça", "terca", "ter"],
            &["quarta", "qua"],
            &["quinta", "qui"],
            &["sexta", "sex"],
            &["sábado", "sabado", "sáb", "sab"],
            &["domingo", "dom"],
        ],
    },
    Language {
        code: "nl",
        months: [
            &["januari", "jan"],
            &["februari", "feb"],
            &["maart", "mrt"],
            &["april", "apr"],
            &["mei"],
            &["juni", "jun"],
            &["juli", "jul"],
            &["augustus", "aug"],
            &["september", "sep", "sept"],
            &["oktober", "okt"],
            &["november", "nov"],
            &["december", "dec"],
        ],
        days: [
            &["maandag", "ma"],
            &["dinsdag", "di"],
            &["woensdag", "wo"],
            &["donderdag", "do"],
            &["vrijdag", "vr"],
            &["zaterdag", "za"],
            &["zondag", "zo"],
        ],
    },
    Language {
        code: "pl",
        months: [
            &["stycznia", "styczeń", "sty"],
            &["lutego", "luty", "lut"],
            &["marca", "marzec", "mar"],
            &["kwietnia", "kwiecień", "kwi"],
            &["maja", "maj"],
            &["czerwca", "czerwiec", "cze"],
            &["lipca", "lipiec", "lip"],
            &["sierpnia", "sierpień", "sie"],
            &["września", "wrzesień", "wrz"],
            &["października", "październik", "paź"],
            &["listopada", "listopad", "lis"],
            &["grudnia", "grudzień", "gru"],
        ],
        days: [
            &["poniedziałek", "pon"],
            &["wtorek", "wt"],
            &["środa", "śr"],
            &["czwartek", "czw"],
            &["piątek", "pt"],
            &["sobota", "sob"],
            &["niedziela", "niedz", "nie"],
        ],
    },
    Language {
        code: "sv",
        months: [
            &["januari", "jan"],
            &["februari", "feb", "febr"],
            &["mars", "mar"],
            &["april", "apr"],
            &["maj"],
            &["juni", "jun"],
            &["juli", "jul"],
            &["augusti", "aug"],
            &["september", "sep", "sept"],
            &["oktober", "okt"],
            &["november", "nov"],
            &["december", "dec"],
        ],
        days: [
            &["måndag", "mån"],
            &["tisdag", "tis", "tisd"],
            &["onsdag", "ons"],
            &["torsdag", "tors", "tor"],
            &["fredag", "fre"],
            &["lördag", "lör"],
            &["söndag", "sön"],
        ],
    },
    Language {
        code: "da",
        months: [
            &["januar", "jan"],
            &["februar", "feb"],
            &["marts", "mar"],
            &["april", "apr"],
            &["maj"],
            &["juni", "jun"],
            &["juli", "jul"],
            &["august", "aug"],
            &["september", "sep", "sept"],
            &["oktober", "okt"],
            &["november", "nov"],
            &["december", "dec"],
        ],
        days: [
            &["mandag", "man"],
            &["tirsdag", "tirs", "tir"],
            &["onsdag", "ons"],
            &["torsdag", "tors", "tor"],
            &["fredag", "fre"],
            &["lørdag", "lør"],
            &["søndag", "søn"],
        ],
    },
    Language {
        code: "no",
        months: [
            &["januar", "jan"],
            &["februar", "feb"],
            &["mars", "mar"],
            &["april", "apr"],
            &["mai"],
            &["juni", "jun"],
            &["juli", "jul"],
            &["august", "aug"],
            &["september", "sep", "sept"],
            &["oktober", "okt"],
            &["november", "nov"],
            &["desember", "des"],
        ],
        days: [
            &["mandag", "man"],
            &["tirsdag", "tirs", "tir"],
            &["onsdag", "ons"],
            &["torsdag", "tors", "tor"],
            &["fredag", "fre"],
            &["lørdag", "lør"],
            &["søndag", "søn"],
        ],
    },
    Language {
        code: "fi",
        months: [
            &["tammikuuta", "tammikuu", "tammi"],
            &["helmikuuta", "helmikuu", "helmi"],
            &["maaliskuuta", "maaliskuu", "maalis"],
            &["huhtikuuta", "huhtikuu", "huhti"],
            &["toukokuuta", "toukokuu", "touko"],
            &["kesäkuuta", "kesäkuu", "kesä"],
            &["heinäkuuta", "heinäkuu", "heinä"],
            &["elokuuta", "elokuu", "elo"],
            &["syyskuuta", "syyskuu", "syys"],
            &["lokakuuta", "lokakuu", "loka"],
            &["marraskuuta", "marraskuu", "marras"],
            &["joulukuuta", "joulukuu", "joulu"],
        ],
        days: [
            &["maanantai", "maanantaina", "ma"],
            &["tiistai", "tiistaina", "ti"],
            &["keskiviikko", "keskiviikkona", "ke"],
            &["torstai", "torstaina", "to"],
            &["perjantai", "perjantaina", "pe"],
            &["lauantai", "lauantaina", "la"],
            &["sunnuntai", "sunnuntaina", "su"],
        ],
    },
    Language {
        code: "cs",
        months: [
            &["ledna", "leden", "led"],
            &["února", "únor", "úno"],
            &["března", "březen", "bře"],
            &["dubna", "duben", "dub"],
            &["května", "květen", "kvě"],
            &["června", "červen", "čvn"],
            &["července", "červenec", "čvc"],
            &["srpna", "srpen", "srp"],
            &["září", "zář"],
            &["října", "říjen", "říj"],
            &["listopadu", "listopad", "lis"],
            &["prosince", "prosinec", "pro"],
        ],
        days: [
            &["pondělí", "po"],
            &["úterý", "út"],
            &["středa", "st"],
            &["čtvrtek", "čt"],
            &["pátek", "pá"],
            &["sobota", "so"],
            &["neděle", "ne"],
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_into_english() {
        for (code, text, english) in [
            ("de", "3. März 2013", "3. March 2013"),
            ("de", "Mo., 3. Mrz. 2013", "Monday, 3. March 2013"),
            ("fr", "le 1 août 2013", "le 1 August 2013"),
            ("pl", "5 PAŹDZIERNIKA 2013", "5 October 2013"),
            ("cs", "5. července", "5. July"),
        ] {
            assert_eq!(language(code).unwrap().in_english(text, true, true), english);
        }
        assert_eq!(language("es").unwrap().in_english("31-dic-2013", false, false), "31-Dec-2013");
        assert!(language("en").is_none() && language("xx").is_none());
    }

    #[test]
    fn no_name_means_two_months() {
        for language in LANGUAGES {
            let mut all: Vec<&str> = language.months.iter().flat_map(|names| names.iter().copied()).collect();
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count, "{}", language.code);
            assert!(all.iter().all(|name| *name == name.to_lowercase()), "{}", language.code);
        }
    }
}
