"""Makes crates/apps/tests/frictionless/corpus.json: tables that hit each type, format and constraint of Table Schema,
with the verdict of Frictionless on each of their rows. The test `frictionless` compares the validator with it.

usage: python3 dev/frictionless-corpus.py      needs: pip install "frictionless==5.21.0"

A case whose row differs on purpose says so in DIFFERENT, with the reason; docs/reference/validator.md tells them.
"""
import csv, io, json, os, sys, tempfile, warnings

warnings.filterwarnings("ignore")
from frictionless import Dialect, Resource, Schema, Package, settings  # noqa: E402

V2 = "https://datapackage.org/profiles/2.0/tableschema.json"


def field(kind, cells, **more):
    """A table of an id and one field."""
    constraints = more.pop("constraints", None)
    descriptor = {"name": "x", "type": kind, **more}
    if constraints:
        descriptor["constraints"] = constraints
    return {"schema": {"$schema": V2, "fields": [{"name": "id", "type": "integer"}, descriptor]},
            "rows": [["id", "x"]] + [[str(n), cell] for n, cell in enumerate(cells, 2)]}


def table(fields, rows, **more):
    return {"schema": {"$schema": V2, "fields": fields, **more}, "rows": rows}


def names(*list_of_names, **more):
    return [{"name": name, "type": "string", **more} for name in list_of_names]


NUMBERS = ["0", "-1", "+5", "007", "1.5", ".5", "5.", "1e3", "1E-2", " 7", "7 ", "NaN", "nan", "INF", "-INF", "-inf", "x", "1,5",
           "1 000", "", "--1", "1.2.3", "0x1", "12345678901234567890123", "-0", "1e", "٣", "1_000", "Infinity", "TRUE"]
DATES = ["2013-01-31", "2012-02-29", "2013-02-29", "2013-13-01", "2013-01-32", "31.01.2013", "31/01/2013", "2013/01/31", "", "x",
         "2013-01-31T00:00:00", "20130131", "2013-1-31"]
TIMES = ["10:00:00", "23:59:59", "24:00:01", "10:60:00", "10:00", "10", "10:00:00Z", "10:00:00+01:00", "10:00:00.5", "x", "",
         "25:00:00", "10:00:60"]
MOMENTS = ["2013-01-01T10:00:00Z", "2013-01-01T10:00:00", "2013-01-01T10:00:00+01:00", "2013-01-01T10:00:00.123Z",
           "2013-01-01", "2013-02-30T10:00:00Z", "2013-01-01T25:00:00Z", "x", "", "2013-01-01 10:00:00",
           "2013-01-01T10:00", "01.01.2013 10:00"]
POINT = '{"type": "Point", "coordinates": [1, 2]}'
TEXTS = ["x", "", "a b", "é", "日本", "A,B", 'q"q', "line\nline", " "]

CASES = {
    "string": field("string", TEXTS),
    "string/email": field("string", ["a@b.de", "first.last+tag@mail.example.org", "a", "a@", "@b.de", "a b@c.de", "a@@b.de", "", "a@b..de"],
                          format="email"),
    "string/uri": field("string", ["http://example.org/a?b=c#d", "urn:isbn:0451450523", "mailto:a@b.de", "example.org", "//x.de", "", "http://exa mple.org"],
                        format="uri"),
    "string/uuid": field("string", ["123e4567-e89b-12d3-a456-426614174000", "123E4567-E89B-12D3-A456-426614174000", "123e4567", "x", "",
                                    "123e4567-e89b-12d3-a456-42661417400g"], format="uuid"),
    "string/binary": field("string", ["YQ==", "YWJj", "YQ", "YQ=", "", "é"], format="binary"),
    "integer": field("integer", NUMBERS),
    "integer/bareNumber": field("integer", ["€95", "95%", "EUR 95", "95", "-95 EUR", "x", "", "EUR"], bareNumber=False),
    "number": field("number", NUMBERS),
    "number/characters": field("number", ["1.234,5", "1234,5", "1.234.567", "12", "x", "", "-1,5", "1,5,5"], decimalChar=",", groupChar="."),
    "number/group": field("number", ["1,234.5", "1,234,567", "12", "1.5", "x", ""], groupChar=","),
    "number/bareNumber": field("number", ["€1.5", "1.5 EUR", "95%", "EUR -5.25 net", "x", "", "€"], bareNumber=False),
    "boolean": field("boolean", ["true", "True", "TRUE", "1", "false", "False", "FALSE", "0", "yes", "no", "tRUE", "2", "", " true"]),
    "boolean/words": field("boolean", ["ja", "nein", "true", "1", ""], trueValues=["ja"], falseValues=["nein"]),
    "object": field("object", ["{}", '{"a": 1}', "[]", "null", "1", "{", "", '"a"', '{"a": {"b": [1, 2]}}']),
    "array": field("array", ["[]", "[1, 2]", "{}", "null", "1", "[", "", '["a", {}]']),
    "list": field("list", ["a,b", "a", "a,,b", "", "a b"]),
    "list/integer": field("list", ["1,2", "1", "1,x", "1,,2", "", "1;2"], itemType="integer"),
    "list/delimiter": field("list", ["1;2", "1", "1,2", "a;b", ""], itemType="number", delimiter=";"),
    "list/date": field("list", ["2013-01-01,2013-01-02", "2013-01-01", "x,2013-01-01"], itemType="date"),
    "list/boolean": field("list", ["true,false", "1,0", "maybe"], itemType="boolean"),
    "date": field("date", DATES),
    "date/any": field("date", ["2013-01-31", "2013/01/31", "31 Jan 2013", "January 31, 2013", "soon", ""], format="any"),
    "date/pattern": field("date", DATES, format="%d/%m/%Y"),
    "date/pattern fmt": field("date", DATES, format="fmt:%d.%m.%Y"),
    "time": field("time", TIMES),
    "time/any": field("time", ["10:00", "10:00:00", "10:30 PM", "soon", ""], format="any"),
    "time/pattern": field("time", TIMES, format="%H:%M"),
    "datetime": field("datetime", MOMENTS),
    "datetime/any": field("datetime", ["2013-01-01 10:00:00", "2013/01/01 10:00", "2013-01-01T10:00:00Z", "1 Jan 2013 10:00:00", "soon", ""], format="any"),
    "datetime/pattern": field("datetime", MOMENTS, format="%d.%m.%Y %H:%M"),
    "year": field("year", ["2013", "1", "13", "20130", "x", "", "-500", "0001"]),
    "yearmonth": field("yearmonth", ["2013-01", "2013-12", "2013-13", "2013-00", "2013", "x", "", "2013-01-01", "01-2013", "2013-1"]),
    "duration": field("duration", ["P1Y", "P1Y2M10DT2H30M", "PT0.5S", "-P1D", "P2W", "P1D", "1 day", "PT", "", "P1.5D", "P", "1Y", "PT1H30S"]),
    "geopoint": field("geopoint", ["90.50, 45.50", "90,45", "-180,90", "181,0", "0,91", "90.5", "x,y", "", "1,2,3"]),
    "geopoint/array": field("geopoint", ["[90.5, 45.5]", "[90, 45]", "[1]", "[1,2,3]", "90,45", "[181, 0]", ""], format="array"),
    "geopoint/object": field("geopoint", ['{"lon": 90.5, "lat": 45.5}', '{"lon": 90}', '{"lon": 1, "lat": 2, "z": 3}', "[1,2]", '{"lon": 0, "lat": 91}', ""],
                             format="object"),
    "geojson": field("geojson", [POINT, '{"type": "Feature", "geometry": %s, "properties": {}}' % POINT, '{"type": "FeatureCollection", "features": []}',
                                 '{"type": "Circle"}', "{}", "[]", "x", "", '{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}',
                                 '{"type": "Point", "coordinates": "x"}'], constraints={"required": True}),
    "geojson/topojson": field("geojson", ['{"type": "Topology", "objects": {}, "arcs": []}', POINT, "{}", "x"], format="topojson"),
    "any": field("any", TEXTS + ["1", "true"]),
    "required": field("string", ["x", "", " ", "NA"], constraints={"required": True}),
    "required integer": field("integer", ["1", "", "x"], constraints={"required": True}),
    "unique": field("integer", ["1", "2", "1", "", "", "01", "3", "2"], constraints={"unique": True}),
    "unique string": field("string", ["a", "A", "a", "", "a "], constraints={"unique": True}),
    "minLength": field("string", ["ab", "a", "", "日本", "日"], constraints={"minLength": 2}),
    "maxLength": field("string", ["ab", "abc", "日本", "日本語", ""], constraints={"maxLength": 2}),
    "length array": field("array", ["[]", "[1]", "[1, 2]", "[1, 2, 3]", ""], constraints={"minLength": 1, "maxLength": 2}),
    "length object": field("object", ["{}", '{"a": 1}', '{"a": 1, "b": 2}', ""], constraints={"minLength": 1, "maxLength": 1}),
    "length list": field("list", ["a", "a,b", "a,b,c", ""], constraints={"minLength": 2, "maxLength": 2}),
    "minimum": field("integer", ["1", "0", "-1", "2", "", "x", "99999999999999999999"], constraints={"minimum": 1}),
    "maximum": field("integer", ["1", "12", "13", "", "-99999999999999999999"], constraints={"maximum": 12}),
    "minimum text": field("integer", ["1", "0"], constraints={"minimum": "1"}),
    "bounds number": field("number", ["0.1", "0.09", "1", "1.0", "1.01", "", "INF"], constraints={"minimum": 0.1, "maximum": 1}),
    "exclusive": field("integer", ["1", "2", "3", "4", ""], constraints={"exclusiveMinimum": 1, "exclusiveMaximum": 4}),
    "exclusive number": field("number", ["1", "1.0", "1.0001", "2", "1.9999"], constraints={"exclusiveMinimum": 1, "exclusiveMaximum": 2}),
    "bounds date": field("date", ["2013-01-01", "2012-12-31", "2013-12-31", "2014-01-01", ""], constraints={"minimum": "2013-01-01", "maximum": "2013-12-31"}),
    "exclusive date": field("date", ["2013-01-01", "2013-01-02"], constraints={"exclusiveMinimum": "2013-01-01"}),
    "bounds time": field("time", ["12:00:00", "12:00:01", "11:59:59"], constraints={"maximum": "12:00:00"}),
    "bounds datetime": field("datetime", ["2013-01-01T00:00:00Z", "2012-12-31T23:59:59Z", "2013-01-01T01:00:00+01:00", "2013-01-01T00:30:00+01:00"],
                             constraints={"minimum": "2013-01-01T00:00:00Z"}),
    "bounds year": field("year", ["2000", "1999", "2010", "2011"], constraints={"minimum": 2000, "maximum": 2010}),
    "bounds yearmonth": field("yearmonth", ["2013-06", "2013-07", "2012-12"], constraints={"maximum": "2013-06"}),
    "pattern": field("string", ["AB", "ABC", "ab", "", "A1"], constraints={"pattern": "[0-9A-Z]{2}"}),
    "pattern dot": field("string", ["abc", "ac", "a\nc", "xabc", "abcx"], constraints={"pattern": "a.c"}),
    "pattern escape": field("string", ["12-34", "1-2", "12-345", "é2-34"], constraints={"pattern": "\\d{2}-\\d{2}"}),
    "enum": field("string", ["EWR", "JFK", "jfk", "", "LGA "], constraints={"enum": ["EWR", "JFK", "LGA"]}),
    "enum integer": field("integer", ["1", "01", "2", "3", ""], constraints={"enum": [1, "2"]}),
    "enum number": field("number", ["1.5", "1.50", "2", "2.0", "3"], constraints={"enum": [1.5, 2]}),
    "enum boolean": field("boolean", ["true", "1", "false"], constraints={"enum": [True]}),
    "enum date": field("date", ["2013-01-01", "2013-01-02"], constraints={"enum": ["2013-01-01"]}),
    "enum year": field("year", ["2012", "2013"], constraints={"enum": ["2012"]}),
    "missing of the field": field("integer", ["1", "-", "NA", "", "n/a"], missingValues=["-", "n/a"]),
    "missing and required": field("integer", ["1", "-", "0"], missingValues=["-", "0"], constraints={"required": True}),
    "missing with labels": table([{"name": "id", "type": "integer"}, {"name": "x", "type": "integer"}],
                                 [["id", "x"], ["1", "1"], ["2", "-99"], ["3", ""], ["4", "x"]],
                                 missingValues=[{"value": "", "label": "none"}, {"value": "-99", "label": "skipped"}]),
    "missing of the schema": table([{"name": "id", "type": "integer"}, {"name": "x", "type": "integer"}],
                                   [["id", "x"], ["1", "NA"], ["2", ""], ["NA", "NA"], ["3", "n"]], missingValues=["", "NA"]),
    "ragged rows": table(names("a", "b", "c"), [["a", "b", "c"], ["1", "2", "3"], ["1", "2"], ["1"], ["1", "2", "3", "4"], ["", "", ""], ["1", "", ""]]),
    "blank rows": table(names("a", "b"), [["a", "b"], ["", ""], ["NA", "NA"], ["NA", ""], ["x", ""]], missingValues=["", "NA"]),
    "primary key": table([{"name": "a", "type": "integer"}, {"name": "b", "type": "string"}],
                         [["a", "b"], ["1", "x"], ["2", "x"], ["1", "y"], ["", "z"], ["02", "z"]], primaryKey="a"),
    "primary key of two": table(names("a", "b", "c"),
                                [["a", "b", "c"], ["1", "1", "x"], ["1", "2", "x"], ["1", "1", "y"], ["", "", "z"]], primaryKey=["a", "b"]),
    "foreign key to itself": table(names("id", "parent"), [["id", "parent"], ["1", ""], ["2", "1"], ["3", "4"], ["4", "2"], ["5", "9"]],
                                   foreignKeys=[{"fields": "parent", "reference": {"resource": "", "fields": "id"}}]),
    "foreign key of two to itself": table(
        names("a", "b", "c", "d"), [["a", "b", "c", "d"], ["1", "1", "1", "2"], ["1", "2", "1", "1"], ["2", "1", "2", "2"], ["3", "3", "", ""]],
        foreignKeys=[{"fields": ["c", "d"], "reference": {"fields": ["a", "b"], "resource": ""}}]),
    "fieldsMatch equal": table(names("a", "b"), [["b", "a"], ["1", "2"]], fieldsMatch="equal"),
    "fieldsMatch subset": table([{"name": "a", "type": "integer"}], [["z", "a"], ["x", "1"], ["1", "x"]], fieldsMatch="subset"),
    "fieldsMatch superset": table([{"name": "a", "type": "integer"}, {"name": "b", "type": "integer"}], [["b"], ["1"], ["x"]], fieldsMatch="superset"),
    "fieldsMatch partial": table([{"name": "a", "type": "integer"}, {"name": "b", "type": "integer"}], [["z", "b"], ["x", "1"], ["1", "x"]], fieldsMatch="partial"),
    "header missing-label": table(names("a", "b"), [["a"], ["1"]]),
    "header extra-label": table(names("a"), [["a", "b"], ["1", "2"]]),
    "header incorrect-label": table(names("a", "b"), [["b", "a"], ["1", "2"]]),
    "header equal, one missing": table(names("a", "b"), [["b"], ["1"]], fieldsMatch="equal"),
    "header equal, one more": table(names("a", "b"), [["b", "a", "c"], ["1", "2", "3"]], fieldsMatch="equal"),
    "header superset, one more": table(names("a", "b"), [["b", "c"], ["1", "2"]], fieldsMatch="superset"),
    "header superset, a required one missing": table(names("a", constraints={"required": True}) + names("b"), [["b"], ["1"]], fieldsMatch="superset"),
}

# Rows on which we differ on purpose: (case, cell or row number) -> why.
DIFFERENT = {
    ("integer", "٣"): "only the digits 0 to 9 are digits",
    ("integer", "1_000"): "an underscore is no part of a number (it is in Python)",
    ("number", "٣"): "only the digits 0 to 9 are digits",
    ("number", "1_000"): "an underscore is no part of a number (it is in Python)",
    ("number", "Infinity"): "infinity is written INF",
    ("date", "2013-1-31"): "a date has ten characters",
    ("datetime", "2013-01-01 10:00:00"): "a T stands between date and time, as the standard has it",
    ("yearmonth", "2013-1"): "a month has two digits",
    ("string/uri", "http://exa mple.org"): "a space is no character of a URI (RFC 3986)",
    ("duration", "PT"): "a duration has at least one number",
    ("geojson/topojson", POINT): "a TopoJSON object is a topology",
}


def verdict(case, folder):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(case["rows"])
    case["csv"] = text.getvalue()
    path = os.path.join(folder, "table.csv")
    with open(path, "w", encoding="utf-8", newline="") as f:
        f.write(case["csv"])
    descriptor = {"$schema": "https://datapackage.org/profiles/2.0/dataresource.json", "name": "table", "path": "table.csv", "type": "table", "schema": case["schema"],
                  "encoding": "utf-8", "dialect": {"csv": {"delimiter": ","}}}
    resource = Resource.from_descriptor(descriptor, basepath=folder)
    report = resource.validate(limit_errors=100000)
    rows, header = {}, []
    for error in report.flatten(["rowNumber", "type", "note"]):
        number, kind = error[0], error[1]
        if number is None:
            header.append(kind)
        else:
            rows.setdefault(number, set()).add(kind)
    return sorted(set(header)), {str(number): sorted(kinds) for number, kinds in sorted(rows.items())}


def main():
    corpus = []
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            try:
                header, rows = verdict(case, folder)
            except Exception as error:
                sys.exit(f"{name}: {error!r}")
            entry = {"name": name, "schema": case["schema"], "csv": case["csv"], "header": header, "rows": rows}
            different = {}
            for number, cells in enumerate(case["rows"][1:], 2):
                why = DIFFERENT.get((name, cells[-1])) or DIFFERENT.get((name, number))
                if why:
                    different[str(number)] = why
            if different:
                entry["different"] = different
            corpus.append(entry)
    here = os.path.dirname(os.path.abspath(__file__))
    out = os.path.join(here, "..", "crates", "apps", "tests", "frictionless", "corpus.json")
    os.makedirs(os.path.dirname(out), exist_ok=True)
    with open(out, "w", encoding="utf-8") as f:
        json.dump({"made_by": "frictionless " + settings.VERSION, "cases": corpus}, f, ensure_ascii=False, indent=1)
        f.write("\n")
    print(len(corpus), "cases,", sum(len(case["rows"]) - 1 for case in CASES.values()), "rows", file=sys.stderr)


main()
