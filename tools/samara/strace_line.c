/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE	/* memmem, strerrorname_np */
#include <string.h>

#include "strace_line.h"

/* No process id of Linux is larger; a larger bare number at the start of a line is a time. */
#define PID_LIMIT 4194304

bool span_is(struct span text, const char *word)
{
	return text.len == strlen(word) && !memcmp(text.at, word, text.len);
}

bool span_starts(struct span text, const char *word)
{
	size_t n = strlen(word);

	return text.len >= n && !memcmp(text.at, word, n);
}

static bool span_ends(struct span text, const char *word)
{
	size_t n = strlen(word);

	return text.len >= n && !memcmp(text.at + text.len - n, word, n);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\v' || c == '\r';
}

static void skip(struct span *text, size_t n)
{
	text->at += n;
	text->len -= n;
}

static void skip_spaces(struct span *text)
{
	while (text->len && is_space(*text->at))
		skip(text, 1);
}

static void trim(struct span *text)
{
	skip_spaces(text);
	while (text->len && is_space(text->at[text->len - 1]))
		text->len--;
}

static size_t find(struct span text, const char *word)
{
	const char *at = memmem(text.at, text.len, word, strlen(word));

	return at ? (size_t)(at - text.at) : text.len;
}

/* Digits at the start; how many. A number beyond @limit reads as limit + 1. */
static size_t leading_number(struct span text, unsigned long limit, unsigned long *out)
{
	unsigned long n = 0;
	size_t i;

	for (i = 0; i < text.len && is_digit(text.at[i]); i++)
		n = n > limit ? n : n * 10 + (text.at[i] - '0');
	*out = n > limit ? limit + 1 : n;
	return i;
}

/* Lines ---------------------------------------------------------------------- */

/* Behind the command's name in "1234<name>" (--decode-pids=comm). It may hold anything. */
static void skip_command(struct span *text)
{
	const char *end;

	if (!text->len || *text->at != '<')
		return;
	end = memchr(text->at, '>', text->len);
	if (end)
		skip(text, end + 1 - text->at);
}

/* "[pid  1234] " or "1234  "; leaves @text as it is when neither is there. */
static void parse_pid(struct span *text, struct strace_line *line)
{
	struct span t = *text;
	unsigned long pid;
	size_t digits;

	line->bracketed = span_starts(t, "[pid ");
	if (line->bracketed) {
		skip(&t, 5);
		skip_spaces(&t);
	}
	digits = leading_number(t, PID_LIMIT, &pid);
	if (!digits || digits == t.len || pid == 0 || pid > PID_LIMIT)
		goto none;
	skip(&t, digits);
	skip_command(&t);
	if (!t.len || !(line->bracketed ? *t.at == ']' : is_space(*t.at)))
		goto none;
	skip(&t, 1);
	skip_spaces(&t);
	line->pid = pid;
	*text = t;
	return;
none:
	line->bracketed = false;
}

/* A time as -t, -tt, -ttt or -r print it, "(+ 0.000123)", or an address or number in brackets (-i, -n). */
static bool skip_one_stamp(struct span *text)
{
	struct span t = *text;
	size_t i = 0;

	if (!t.len)
		return false;
	if (*t.at == '[' || span_starts(t, "(+")) {
		char close = *t.at == '[' ? ']' : ')';
		const char *end = memchr(t.at, close, t.len);

		if (!end)
			return false;
		i = end + 1 - t.at;
	} else {
		while (i < t.len && (is_digit(t.at[i]) || t.at[i] == ':' || t.at[i] == '.'))
			i++;
		/* "+0.000000" style of some versions: a date needs nothing more. */
		if (!i || !is_digit(*t.at))
			return false;
	}
	if (i == t.len || !is_space(t.at[i]))
		return false;
	skip(&t, i);
	skip_spaces(&t);
	*text = t;
	return true;
}

static const char *parse_other_pid(struct span text, struct strace_line *line, enum strace_line_kind kind)
{
	unsigned long pid;

	if (!leading_number(text, PID_LIMIT, &pid) || pid == 0 || pid > PID_LIMIT)
		return "a process id should be here";
	line->kind = kind;
	line->other = pid;
	return NULL;
}

/* What strace says of itself. */
static const char *parse_note(struct span text, struct strace_line *line)
{
	static const char process[] = "strace: Process ";

	line->kind = STRACE_LINE_NOTE;
	if (!span_starts(text, process) || !span_ends(text, " attached"))
		return NULL;
	skip(&text, sizeof(process) - 1);
	return parse_other_pid(text, line, STRACE_LINE_ATTACHED);
}

/* "+++ ... +++" */
static const char *parse_plus(struct span text, struct strace_line *line)
{
	static const char superseded[] = "+++ superseded by execve in pid ";

	if (!span_ends(text, " +++"))
		return "this line is cut: it should end with +++";
	if (span_starts(text, superseded)) {
		skip(&text, sizeof(superseded) - 1);
		return parse_other_pid(text, line, STRACE_LINE_SUPERSEDED);
	}
	if (!span_starts(text, "+++ exited with ") && !span_starts(text, "+++ killed by "))
		return "strace writes '+++ exited with', '+++ killed by' or '+++ superseded by' here";
	line->kind = STRACE_LINE_EXITED;
	return NULL;
}

/* "<... name resumed>rest" */
static const char *parse_resumed(struct span text, struct strace_line *line)
{
	size_t end;

	skip(&text, 4);
	skip_spaces(&text);
	for (end = 0; end < text.len && is_name(text.at[end]);)
		end++;
	line->name = (struct span){ text.at, end };
	skip(&text, end);
	skip_spaces(&text);
	if (!end || !span_starts(text, "resumed>"))
		return "after '<...' stand the name of a call and 'resumed>'";
	skip(&text, 8);
	line->kind = STRACE_LINE_RESUMED;
	line->rest = text;
	return NULL;
}

/* The mark at the end of a call that does not end on its line; cut from the rest. */
static const char *parse_open_end(struct strace_line *line)
{
	static const char unfinished[] = "<unfinished ...>", detached[] = "<detached ...>";
	static const char renamed[] = "<pid changed to ";
	struct span *rest = &line->rest, tail;
	size_t at;

	if (span_ends(*rest, unfinished)) {
		line->kind = STRACE_LINE_UNFINISHED;
		rest->len -= sizeof(unfinished) - 1;
	} else if (span_ends(*rest, detached)) {
		line->kind = STRACE_LINE_DETACHED;
		rest->len -= sizeof(detached) - 1;
	} else if (span_ends(*rest, " ...>")) {
		at = find(*rest, renamed);
		if (at == rest->len)
			return NULL;
		tail = *rest;
		skip(&tail, at + sizeof(renamed) - 1);
		rest->len = at;
		return parse_other_pid(tail, line, STRACE_LINE_RENAMED);
	}
	return NULL;
}

static const char not_strace[] =
	"this is not a line of strace; record with strace -f -o FILE, so that nothing else is mixed in";

static const char *parse_name(struct span text, struct strace_line *line)
{
	size_t end;

	/* "????" is a call whose number strace could not read. */
	for (end = 0; end < text.len && (is_name(text.at[end]) || text.at[end] == '?');)
		end++;
	if (!end || end == text.len || text.at[end] != '(' || is_digit(*text.at))
		return not_strace;
	line->kind = STRACE_LINE_CALL;
	line->name = (struct span){ text.at, end };
	skip(&text, end + 1);
	line->rest = text;
	return parse_open_end(line);
}

static bool is_note(struct span text)
{
	return !text.len || span_starts(text, "strace: ") || span_starts(text, "[ Process PID=") ||
		span_starts(text, "> ");
}

const char *strace_parse_line(struct span text, struct strace_line *line)
{
	memset(line, 0, sizeof(*line));
	trim(&text);
	if (is_note(text))
		return parse_note(text, line);
	parse_pid(&text, line);
	/* Time of day and time since the last line may both be there. */
	while (skip_one_stamp(&text))
		;
	if (span_starts(text, "--- ")) {
		line->kind = STRACE_LINE_NOTE;
		return span_ends(text, " ---") ? NULL : "this line is cut: it should end with ---";
	}
	if (span_starts(text, "+++ "))
		return parse_plus(text, line);
	if (span_starts(text, "<..."))
		return parse_resumed(text, line);
	if (is_note(text))
		return parse_note(text, line);
	return parse_name(text, line);
}

/* Calls ---------------------------------------------------------------------- */

/* Behind a string that starts at @i; the quote may be missing. */
static size_t skip_string(struct span text, size_t i)
{
	for (i++; i < text.len && text.at[i] != '"'; i++)
		if (text.at[i] == '\\')
			i++;
	return i < text.len ? i + 1 : text.len;
}

static size_t skip_comment(struct span text, size_t i)
{
	struct span rest = { text.at + i, text.len - i };
	size_t end = find(rest, "*/");

	return end == rest.len ? text.len : i + end + 2;
}

/* Behind the "<path>" that strace -y puts after a descriptor. It may nest, and hold "->". */
static size_t skip_decoration(struct span text, size_t i)
{
	int depth = 0;

	for (; i < text.len; i++) {
		if (text.at[i] == '<')
			depth++;
		else if (text.at[i] == '>' && text.at[i - 1] != '-' && --depth == 0)
			return i + 1;
	}
	return text.len;
}

static bool starts_decoration(struct span text, size_t i)
{
	if (text.at[i] != '<' || i == 0 || i + 1 == text.len || text.at[i + 1] == '<')
		return false;
	return (is_digit(text.at[i - 1]) || text.at[i - 1] == 'D') && text.at[i + 1] != ' ';
}

/* The next character outside of strings, comments and descriptors' paths, at or behind @i. */
static size_t next_plain(struct span text, size_t i)
{
	for (;;) {
		size_t from = i;

		if (i < text.len && text.at[i] == '"')
			i = skip_string(text, i);
		else if (i + 1 < text.len && text.at[i] == '/' && text.at[i + 1] == '*')
			i = skip_comment(text, i);
		else if (i < text.len && starts_decoration(text, i))
			i = skip_decoration(text, i);
		if (i == from)
			return i;
	}
}

static void add_arg(struct strace_args *args, const char *start, const char *end)
{
	struct span arg = { start, end - start };

	trim(&arg);
	if (!arg.len && !args->nr && *end == ')')
		return;
	if (args->nr < STRACE_MAX_ARGS)
		args->arg[args->nr++] = arg;
}

/* Split at commas outside of brackets; returns where the closing parenthesis is, or the text's end. */
static size_t split_args(struct span text, struct strace_args *args)
{
	size_t i, start = 0, depth = 0;

	args->nr = 0;
	for (i = next_plain(text, 0); i < text.len; i = next_plain(text, i + 1)) {
		switch (text.at[i]) {
		case '(': case '[': case '{':
			depth++;
			break;
		case ']': case '}':
			depth -= depth > 0;
			break;
		case ')':
			if (!depth) {
				add_arg(args, text.at + start, text.at + i);
				return i;
			}
			depth--;
			break;
		case ',':
			if (!depth) {
				add_arg(args, text.at + start, text.at + i);
				start = i + 1;
			}
			break;
		}
	}
	return text.len;
}

/* A call printed in a way that the brackets do not tell: the last ")" with "= " behind it. */
static size_t last_parenthesis(struct span text)
{
	size_t i;

	for (i = text.len; i-- > 0;) {
		struct span behind = { text.at + i + 1, text.len - i - 1 };

		if (text.at[i] != ')')
			continue;
		skip_spaces(&behind);
		if (span_starts(behind, "= "))
			return i;
	}
	return text.len;
}

static int errno_of(struct span name)
{
	int e;

	for (e = 1; e < 134; e++) {
		const char *known = strerrorname_np(e);

		if (known && span_is(name, known))
			return e;
	}
	return 0;
}

static size_t word_end(struct span text)
{
	size_t i = next_plain(text, 0);

	while (i < text.len && text.at[i] != ' ')
		i = next_plain(text, i + 1);
	return i;
}

/* "0x7f00", "-1 ENOMEM (...)", "3</path>", "?"; behind it notes and the time of -T. */
static const char *parse_result(struct span text, struct strace_result *result)
{
	struct span word = text;
	unsigned long value;
	int err;

	memset(result, 0, sizeof(*result));
	trim(&word);
	result->injected = find(word, "(INJECTED)") != word.len;
	word.len = word_end(word);
	if (span_is(word, "?")) {
		result->kind = STRACE_RESULT_NONE;
		return NULL;
	}
	if (!strace_value(word, &value))
		return "the result is neither a number nor '?'";
	result->value = value;
	result->path = word;
	skip(&text, word.at + word.len - text.at);
	skip_spaces(&text);
	if (result->value != -1 || !text.len || *text.at != 'E')
		return NULL;
	word = (struct span){ text.at, find(text, " ") };
	err = errno_of(word);
	/* Errors of the kernel's own (ERESTARTSYS and such): the call will be made again. */
	result->kind = err ? STRACE_RESULT_ERROR : STRACE_RESULT_NONE;
	result->value = -err;
	return NULL;
}

const char *strace_parse_call(struct span rest, struct strace_args *args, struct strace_result *result)
{
	size_t close = split_args(rest, args);
	struct span behind;

	if (close == rest.len)
		close = last_parenthesis(rest);
	if (close == rest.len)
		return "this line is cut: the call has no end";
	behind = (struct span){ rest.at + close + 1, rest.len - close - 1 };
	skip_spaces(&behind);
	if (!span_starts(behind, "= "))
		return "this line is cut: behind the call stands '= RESULT'";
	skip(&behind, 2);
	return parse_result(behind, result);
}

/* Values --------------------------------------------------------------------- */

struct span strace_field(struct span text, const char *name)
{
	size_t n = strlen(name), i, end, depth = 0;

	for (i = 0; i + n < text.len; i++) {
		if (memcmp(text.at + i, name, n) || text.at[i + n] != '=')
			continue;
		if (i == 0 || !is_name(text.at[i - 1]))
			break;
	}
	if (i + n >= text.len)
		return (struct span){ text.at, 0 };
	skip(&text, i + n + 1);
	for (end = next_plain(text, 0); end < text.len; end = next_plain(text, end + 1)) {
		char c = text.at[end];

		if (!depth && (c == ',' || c == '}' || c == ')'))
			break;
		if (c == '{' || c == '[' || c == '(')
			depth++;
		else if (c == '}' || c == ']' || c == ')')
			depth--;
	}
	return (struct span){ text.at, end };
}

bool strace_has_flag(struct span text, const char *flag)
{
	while (text.len) {
		struct span word = { text.at, find(text, "|") };

		if (span_is(word, flag))
			return true;
		skip(&text, word.len < text.len ? word.len + 1 : word.len);
	}
	return false;
}

static int octal_digits(struct span text, size_t i, unsigned int *value)
{
	int n;

	*value = 0;
	for (n = 0; n < 3 && i + n < text.len && text.at[i + n] >= '0' && text.at[i + n] <= '7'; n++)
		*value = *value * 8 + (text.at[i + n] - '0');
	return n;
}

static char escaped(char c)
{
	static const char letters[] = "tnvfr", values[] = "\t\n\v\f\r";
	const char *at = c ? strchr(letters, c) : NULL;

	return at ? values[at - letters] : c;
}

/* Undo strace's escapes; a newline stays "\012", as a maps file writes it. */
static bool decode(struct span text, char *buf, size_t len)
{
	size_t i, n = 0;

	for (i = 0; i < text.len; i++) {
		unsigned int value = (unsigned char)text.at[i];

		if (text.at[i] == '\\' && i + 1 < text.len) {
			int digits = octal_digits(text, i + 1, &value);

			if (!digits)
				value = (unsigned char)escaped(text.at[i + 1]);
			i += digits ? digits : 1;
		}
		if (n + 5 > len || !value)
			return false;
		if (value == '\n') {
			memcpy(buf + n, "\\012", 4);
			n += 4;
		} else {
			buf[n++] = value;
		}
	}
	if (n >= len)
		return false;
	buf[n] = '\0';
	return true;
}

bool strace_string(struct span text, char *buf, size_t len)
{
	if (text.len < 2 || *text.at != '"' || text.at[text.len - 1] != '"')
		return false;
	return decode((struct span){ text.at + 1, text.len - 2 }, buf, len);
}

bool strace_fd_path(struct span text, char *buf, size_t len)
{
	size_t open = find(text, "<"), close;
	bool deleted = false;
	struct span path;

	trim(&text);
	if (open == text.len)
		return false;
	if (span_ends(text, "(deleted)")) {
		deleted = true;
		text.len -= 9;
	}
	if (text.len < open + 2 || text.at[text.len - 1] != '>')
		return false;
	path = (struct span){ text.at + open + 1, text.len - open - 2 };
	/* -yy: the device's numbers follow in brackets of their own. */
	close = find(path, "<");
	path.len = close;
	if (!decode(path, buf, len))
		return false;
	if (deleted && strlen(buf) + sizeof(" (deleted)") <= len)
		strcat(buf, " (deleted)");
	return true;
}
