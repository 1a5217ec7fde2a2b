"""Queries, pages, styles, notes, build files, as templates; see :mod:`redpajama_data.sample.programs` for the slots."""

from __future__ import annotations

SQL = """CREATE TABLE @entities@ (
    id INTEGER PRIMARY KEY,
    @text@ VARCHAR(64) NOT NULL,
    @one@ NUMERIC(10, 2) DEFAULT @j@,
    @two@ INTEGER CHECK (@two@ >= 0)
);

CREATE INDEX @entities@_by_@text@ ON @entities@ (@text@);
<<<
INSERT INTO @entities@ (id, @text@, @one@, @two@) VALUES
    (1, '@noun@', @j@, @k@),
    (2, '@other@', @k@, @j@);
<<<
SELECT @text@, COUNT(*) AS number, SUM(@one@) AS total_@one@
FROM @entities@
WHERE @two@ < @j@
GROUP BY @text@
HAVING COUNT(*) > 1
ORDER BY total_@one@ DESC;
<<<
CREATE VIEW large_@entities@ AS
    SELECT first.@text@, first.@one@
    FROM @entities@ AS first
    JOIN @entities@ AS second ON second.@text@ = first.@text@ AND second.id <> first.id
    WHERE first.@one@ > @k@;
"""

HTML = """<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>@Summary@</title>
  <link rel="stylesheet" href="css/@entities@.css">
</head>
<body>
  <h1 id="@entity@">@Entities@ of the @noun@</h1>
  <p class="lead">@Remark@</p>
<<<
  <ul class="@entities@">
    <li>@Other@</li>
    <li>The @text@ of a <em>@noun@</em></li>
  </ul>
<<<
  <p>@Prose@</p>
<<<
  <form action="/@entities@/new" method="post">
    <label for="@text@">@Text@</label>
    <input type="text" name="@text@" id="@text@" maxlength="@k@">
    <button type="submit">@Verb@</button>
  </form>
>>>
</body>
</html>
"""

CSS = """/* @Summary@
   @Remark@ */
body.@noun@ .@entity@-list {
  margin: 0 auto;
  max-width: @j@px;
  font-family: Georgia, serif;
}

.@entity@-list .@text@ {
  color: darkslategray;
  padding: 4px @k@px;
}
<<<
.@noun@ > a:hover,
.@noun@ > a:focus {
  text-decoration: underline;
  background-color: whitesmoke;
}
<<<
@media (max-width: @j@px) {
  .@entity@-list {
    display: flex;
    flex-direction: column;
  }
}
<<<
#@other@-panel {
  position: relative;
  border-bottom: thin solid lightgray;
  transition: opacity 200ms ease-in-out;
}
"""

MARKDOWN = """# @Entities@

@Remark@

## Installation

```sh
git clone https://example.org/@entities@.git
cd @entities@ && make install
```
<<<
## Usage

@Prose@

- `@verb@` reads the @text@ of every @entity@
- `--@one@` sets the upper limit (default @j@)
- `--@two@` is the number of @other@ records at a time
<<<
## How it works

@Prose@
<<<
## Questions

**Does it work without a @noun@?** @Remark@
"""

RST = """@Entities@
==========================

@Prose@
<<<
.. code-block:: python

   from @entities@ import @Entity@
   print(@Entity@("@other@").@one@)
<<<
Options
-------

``@one@``
    @Remark@
``@two@``
    The number of records, @k@ unless it is given.
"""

MAKEFILE = """# @Remark@
# builds the program that reads @entities@ by @text@

PREFIX ?= /usr/local
CFLAGS += -O2 -Wall
OBJECTS = main.o @entity@.o @noun@.o

all: @entities@

@entities@: $(OBJECTS)
	$(CC) $(LDFLAGS) -o $@ $(OBJECTS)
<<<
install: all
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 @entities@ $(DESTDIR)$(PREFIX)/bin/
<<<
check: @entities@
	@echo checking every @noun@ of the @other@ directory
	./tests/@verb@-@text@.sh @k@
>>>
clean:
	rm -f $(OBJECTS) @entities@

.PHONY: all install check clean
"""

DOCKERFILE = """FROM debian:bookworm-slim

LABEL description="@Summary@"

RUN apt-get update && apt-get install -y --no-install-recommends make gcc python3 && apt-get clean

WORKDIR /srv/@entities@
COPY . .
<<<
ENV @ONE@=@j@ @TWO@=@k@
<<<
RUN make -C @noun@ install
>>>
EXPOSE 80@k@
CMD ["python3", "-m", "@entities@", "--@verb@"]
"""
