#include "datasets/question_file.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "datasets/text.h"
#include "tests/support/expect_throw.h"

namespace kvg::datasets {
namespace {

namespace fs = std::filesystem;

using testing_support::expect_throw;

class QuestionFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              (std::string("kvg_") + testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& content) {
    const fs::path file = folder_ / name;
    fs::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << content;
    return file.string();
  }

  FileQuestion only(const std::string& name, const std::string& line) {
    return load_questions(write(name, line), 9).questions.at(0);
  }

  void refuses(const std::string& name, const std::string& content, std::string_view part) {
    const std::string path = write(name, content);
    expect_throw<DataError>([&path] { static_cast<void>(load_questions(path, 9)); }, part);
  }

  fs::path folder_;
};

TEST_F(QuestionFiles, LongBenchAsksAndJudgesAsItsSet) {
  const FileQuestion question = only(
      "any.jsonl",
      R"({"input": "Who?", "context": "She did.", "answers": ["she", "her"], "length": 2, "dataset": "hotpotqa", "language": "en", "all_classes": null, "_id": "1"})");
  EXPECT_EQ(question.task, "hotpotqa");
  EXPECT_EQ(question.metric->name, "qa_f1");
  EXPECT_EQ(question.answer_tokens, 32);
  EXPECT_EQ(question.key.references, (std::vector<std::string>{"she", "her"}));
  EXPECT_TRUE(question.prompt.context.starts_with("Answer the question based on the given pass"));
  EXPECT_TRUE(question.prompt.context.ends_with("passages.\nShe did."));
  EXPECT_TRUE(question.prompt.question.ends_with("\n\nQuestion: Who?\nAnswer:"));
}

TEST_F(QuestionFiles, LongBenchSetsMayBeNamedByTheFile) {
  const std::string line = R"({"input": "", "context": "int a;", "answers": ["int b;"]})";
  EXPECT_EQ(only("lcc_e.jsonl", line).metric->name, "edit_similarity");
  EXPECT_EQ(only("lcc_e.jsonl", line).task, "lcc_e");
  EXPECT_EQ(only("gov_report.jsonl", line).answer_tokens, 512);
  EXPECT_EQ(only("passage_count.jsonl", line).metric->name, "count");
}

TEST_F(QuestionFiles, LongBenchJudgesTheFirstLineWhereItsPaperDoes) {
  const std::string line =
      R"({"input": "", "context": "c", "answers": ["a"], "all_classes": ["a", "b"]})";
  for (const char* set : {"trec", "triviaqa", "samsum", "lsht"}) {
    EXPECT_TRUE(only(std::string(set) + ".jsonl", line).first_line) << set;
  }
  for (const char* set : {"gov_report", "qmsum", "multi_news", "hotpotqa", "passage_count"}) {
    EXPECT_FALSE(only(std::string(set) + ".jsonl", line).first_line) << set;
  }
}

TEST_F(QuestionFiles, LongBenchAsksInChineseWhatNeedsNoWords) {
  const FileQuestion question =
      only("passage_retrieval_zh.jsonl",
           R"({"input": "\u6458\u8981", "context": "c", "answers": ["\u6bb5\u843d12"]})");
  EXPECT_TRUE(question.prompt.context.ends_with("\u54ea\u4e00\u6bb5\u3002\n\nc"));
  EXPECT_NE(question.prompt.question.find("\n\n\u6458\u8981\n\n"), std::string::npos);
  EXPECT_EQ(question.answer_tokens, 32);
  EXPECT_EQ(question.metric->score("\u6bb5\u843d12", question.key), 1.0);
  EXPECT_EQ(question.metric->score("\u6bb5\u843d1", question.key), 0.0);
  const FileQuestion news = only(
      "lsht.jsonl",
      R"({"input": "x", "context": "c", "answers": ["\u4f53\u80b2"], "all_classes": ["\u4f53\u80b2", "\u519b\u4e8b"]})");
  EXPECT_EQ(news.metric->score("\u4f53\u80b2", news.key), 1.0);
  EXPECT_EQ(news.answer_tokens, 64);
}

TEST_F(QuestionFiles, LongBenchSetsThatCannotBeJudgedAreRefusedByName) {
  const std::string line = R"({"input": "", "context": "c", "answers": ["a"]})";
  for (const char* set : {"multifieldqa_zh", "dureader", "vcsum"}) {
    refuses(std::string(set) + ".jsonl", line, "line 1: set " + std::string(set) + " is judged by");
  }
  refuses("any.jsonl",
          R"({"input": "", "context": "c", "answers": ["a"], "dataset": "vcsum"})",
          "allowed: narrativeqa, qasper,");
}

TEST_F(QuestionFiles, LongReferencesAreRefused) {
  refuses("mine.jsonl",
          R"({"input": "", "context": "c", "answers": [")" + std::string(65'537, 'a') + R"("]})",
          "answers holds a text of 65537 bytes; allowed: up to 65536");
}

TEST_F(QuestionFiles, LongBenchFilesOfOnesOwnAreJudgedByTheirFields) {
  const FileQuestion plain =
      only("mine.jsonl", R"({"input": "Who?", "context": "She.", "answers": "she"})");
  EXPECT_EQ(plain.metric->name, "qa_f1");
  EXPECT_EQ(plain.prompt.context + plain.prompt.question, "She.\n\nQuestion: Who?\nAnswer:");
  const FileQuestion classes =
      only("mine.jsonl",
           R"({"input": "x", "context": "c", "answers": ["a"], "all_classes": ["a", "b"]})");
  EXPECT_EQ(classes.metric->name, "classification");
  EXPECT_EQ(classes.key.classes.size(), 2U);
  EXPECT_TRUE(classes.first_line);
}

TEST_F(QuestionFiles, RulerIsNamedByItsFolderAndAsksInTheLastLine) {
  const std::string line =
      R"({"index": 0, "input": "A text.\nWhat is it? It is", "outputs": ["12"], "length": 9})";
  const FileQuestion needle = only("niah_single_1/validation.jsonl", line);
  EXPECT_EQ(needle.task, "niah_single_1");
  EXPECT_EQ(needle.metric->name, "string_match_all");
  EXPECT_EQ(needle.answer_tokens, 128);
  EXPECT_EQ(needle.prompt.context, "A text.\n");
  EXPECT_EQ(needle.prompt.question, "What is it? It is");
  EXPECT_EQ(only("qa_1/validation.jsonl", line).metric->name, "string_match_part");
  EXPECT_EQ(only("vt.jsonl", line).answer_tokens, 30);
  EXPECT_EQ(only("mine.jsonl", line).task, "mine");
}

TEST_F(QuestionFiles, RulerPutsTheAnswersBeginningBehindTheQuestion) {
  const FileQuestion question =
      only("cwe.jsonl",
           R"({"input": "1. a\nWhich?\n", "outputs": ["a"], "answer_prefix": "Answer: the"})");
  EXPECT_EQ(question.prompt.context, "1. a\n");
  EXPECT_EQ(question.prompt.question, "Which?\nAnswer: the");
}

TEST_F(QuestionFiles, HellaSwagIsCleaned) {
  const FileQuestion question = only(
      "hs.jsonl",
      R"({"activity_label": "Baking", "ctx_a": "A man  mixes. [header] Go.", "ctx_b": "he", "ctx": "unused", "endings": ["runs [title] Stop.", "sits [step]."], "label": "1"})");
  EXPECT_EQ(question.prompt.context, "Baking: A man mixes. Go. He");
  EXPECT_EQ(question.choices, (std::vector<std::string>{" runs. Stop.", " sits ."}));
  EXPECT_EQ(question.right, 1U);
  EXPECT_EQ(question.judge, Judge::kChoice);
}

TEST_F(QuestionFiles, LambadaAsksForTheLastWord) {
  const FileQuestion question = only("lambada.jsonl", R"({"text": "He said it was fine\n"})");
  EXPECT_EQ(question.prompt.context, "He said it was");
  EXPECT_EQ(question.choices, std::vector<std::string>{" fine"});
  EXPECT_EQ(question.judge, Judge::kExactWords);
}

TEST_F(QuestionFiles, AreToldFromTextsByTheirFirstLine) {
  EXPECT_TRUE(asks_questions(write("a.jsonl", "\n{\"input\": \"x\", \"outputs\": [\"y\"]}\n")));
  EXPECT_FALSE(asks_questions(write("b.jsonl", "{\"text\": \"x\"}\n")));
  EXPECT_FALSE(asks_questions(write("c.txt", "{\"input\": \"x\", \"outputs\": [\"y\"]}\n")));
  EXPECT_FALSE(asks_questions("persuasion"));
}

TEST_F(QuestionFiles, ReadNoMoreThanAskedFor) {
  const std::string path = write("l.jsonl", "{\"text\": \"a b\"}\n\n{\"text\": \"c d\"}\nbroken");
  EXPECT_EQ(load_questions(path, 2).questions.size(), 2U);
  EXPECT_EQ(load_questions(path, 2).sha256.size(), 64U);
  expect_throw<DataError>([&path] { static_cast<void>(load_questions(path, 3)); },
                          "l.jsonl: line 4: no JSON object");
}

TEST_F(QuestionFiles, RefuseWhatTheyCannotAskNamingTheLine) {
  refuses("a.jsonl", R"({"prompt": "x"})", "a.jsonl: line 1: its fields are of no known format");
  refuses("a.jsonl", "[1]", "line 1: no JSON object");
  refuses("a.jsonl", "\n\n", "no line holds a JSON object");
  refuses("a.jsonl", R"({"input": 1, "outputs": ["y"]})", "line 1: input is missing or no string");
  refuses("a.jsonl", R"({"input": "x", "outputs": []})", "outputs holds no list of texts");
  refuses("a.jsonl", R"({"input": "x", "outputs": [""]})", "outputs holds no list of texts");
  refuses("a.jsonl", R"({"ctx": "x", "endings": ["y"], "label": 0})", "no list of at least two");
  refuses("a.jsonl",
          R"({"ctx": "x", "endings": ["y", "z"], "label": 2})",
          "label names none of the 2 endings");
  refuses("a.jsonl", R"({"text": "word"})", "text has no word before its last");
  refuses("trec.jsonl",
          R"({"input": "x", "context": "c", "answers": ["a"]})",
          "all_classes is missing, which trec is judged by");
  refuses("a.jsonl", std::string(5000, '['), "line 1: nested too deep");
}

TEST_F(QuestionFiles, ACorpusOfJsonLinesIsOneText) {
  const std::string path =
      write("pg.jsonl", "{\"text\": \"One.\", \"url\": \"x\"}\n{\"text\": \"Two \\u00e9.\"}\n");
  EXPECT_EQ(load_text(path).content, "One.\n\nTwo \u00e9.");
  const std::string bad = write("bad.jsonl", "{\"text\": \"One.\"}\n{\"body\": \"Two.\"}\n");
  expect_throw<DataError>([&bad] { static_cast<void>(load_text(bad)); },
                          "bad.jsonl: line 2: text is missing or no string");
}

}  // namespace
}  // namespace kvg::datasets
