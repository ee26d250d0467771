// The prompts are LongBench's data format (Bai et al. 2023, arXiv:2308.14508; MIT licence): figures
// of one prompt cannot be held to those of another, so its slips ("asconcisely") are kept.

#include <algorithm>
#include <array>

#include "datasets/formats/longbench.h"
#include "datasets/metrics/metrics.h"

namespace kvg::datasets {
namespace {

// Three sets ask the same.
constexpr std::string_view kPassages =
    "Answer the question based on the given passages. Only give me the answer and do not output "
    "any other words.\n\nThe following are given passages.\n";
constexpr std::string_view kAskPassages =
    "\n\nAnswer the question based on the given passages. Only give me the answer and do not "
    "output any other words.\n\nQuestion: {input}\nAnswer:";

constexpr std::array kSets{
    LongBenchSet{
        "narrativeqa",
        kQuestionF1,
        128,
        false,
        "You are given a story, which can be either a novel or a movie script, and a question. "
        "Answer the question asconcisely as you can, using a single phrase if possible. Do not "
        "provide any explanation.\n\nStory: ",
        "\n\nNow, answer the question based on the story asconcisely as you can, using a single "
        "phrase if possible. Do not provide any explanation.\n\nQuestion: {input}\n\nAnswer:"},
    LongBenchSet{
        "qasper",
        kQuestionF1,
        128,
        false,
        "You are given a scientific article and a question. Answer the question as concisely as "
        "you can, using a single phrase or sentence if possible. If the question cannot be "
        "answered based on the information in the article, write \"unanswerable\". If the "
        "question is a yes/no question, answer \"yes\", \"no\", or \"unanswerable\". Do not "
        "provide any explanation.\n\nArticle: ",
        "\n\n Answer the question based on the above article as concisely as you can, using a "
        "single phrase or sentence if possible. If the question cannot be answered based on the "
        "information in the article, write \"unanswerable\". If the question is a yes/no "
        "question, answer \"yes\", \"no\", or \"unanswerable\". Do not provide any "
        "explanation.\n\nQuestion: {input}\n\nAnswer:"},
    LongBenchSet{"multifieldqa_en",
                 kQuestionF1,
                 64,
                 false,
                 "Read the following text and answer briefly.\n\n",
                 "\n\nNow, answer the following question based on the above text, only give me "
                 "the answer and do not output any other words.\n\nQuestion: {input}\nAnswer:"},
    LongBenchSet{"hotpotqa", kQuestionF1, 32, false, kPassages, kAskPassages},
    LongBenchSet{"2wikimqa", kQuestionF1, 32, false, kPassages, kAskPassages},
    LongBenchSet{"musique", kQuestionF1, 32, false, kPassages, kAskPassages},
    LongBenchSet{"gov_report",
                 kRougeL,
                 512,
                 false,
                 "You are given a report by a government agency. Write a one-page summary of the "
                 "report.\n\nReport:\n",
                 "\n\nNow, write a one-page summary of the report.\n\nSummary:"},
    LongBenchSet{"qmsum",
                 kRougeL,
                 512,
                 false,
                 "You are given a meeting transcript and a query containing a question or "
                 "instruction. Answer the query in one or more sentences.\n\nTranscript:\n",
                 "\n\nNow, answer the query based on the above meeting transcript in one or more "
                 "sentences.\n\nQuery: {input}\nAnswer:"},
    LongBenchSet{"multi_news",
                 kRougeL,
                 512,
                 false,
                 "You are given several news passages. Write a one-page summary of all news. "
                 "\n\nNews:\n",
                 "\n\nNow, write a one-page summary of all the news.\n\nSummary:"},
    LongBenchSet{"trec",
                 kClassification,
                 64,
                 true,
                 "Please determine the type of the question below. Here are some examples of "
                 "questions.\n\n",
                 "\n{input}"},
    LongBenchSet{"triviaqa",
                 kQuestionF1,
                 32,
                 true,
                 "Answer the question based on the given passage. Only give me the answer and do "
                 "not output any other words. The following are some examples.\n\n",
                 "\n\n{input}"},
    LongBenchSet{"samsum",
                 kRougeL,
                 128,
                 true,
                 "Summarize the dialogue into a few short sentences. The following are some "
                 "examples.\n\n",
                 "\n\n{input}"},
    LongBenchSet{"lsht",
                 kClassification,
                 64,
                 true,
                 "请判断给定新闻的类别，下面是一些例子。\n\n",
                 "\n{input}"},
    LongBenchSet{
        "passage_count",
        kCount,
        32,
        false,
        "There are some paragraphs below sourced from Wikipedia. Some of them may be duplicates. "
        "Please carefully read these paragraphs and determine how many unique paragraphs there "
        "are after removing duplicates. In other words, how many non-repeating paragraphs are "
        "there in total?\n\n",
        "\n\nPlease enter the final count of unique paragraphs after removing duplicates. The "
        "output format should only contain the number, such as 1, 2, 3, and so on.\n\nThe final "
        "answer is: "},
    LongBenchSet{
        "passage_retrieval_en",
        kRetrieval,
        32,
        false,
        "Here are 30 paragraphs from Wikipedia, along with an abstract. Please determine which "
        "paragraph the abstract is from.\n\n",
        "\n\nThe following is an abstract.\n\n{input}\n\nPlease enter the number of the paragraph "
        "that the abstract is from. The answer format must be like \"Paragraph 1\", \"Paragraph "
        "2\", etc.\n\nThe answer is: "},
    LongBenchSet{"passage_retrieval_zh",
                 kRetrieval,
                 32,
                 false,
                 "以下是若干段落文字，以及其中一个段落的摘要。请确定给定的摘要出自哪一段。\n\n",
                 "\n\n下面是一个摘要\n\n{input}\n\n请输入摘要所属段落的编号。答案格式必须是"
                 "\"段落1\"，\"段落2\"等格式\n\n答案是："},
    LongBenchSet{"lcc",
                 kEditSimilarity,
                 64,
                 false,
                 "Please complete the code given below. \n",
                 "Next line of code:\n"},
    LongBenchSet{"repobench-p",
                 kEditSimilarity,
                 64,
                 false,
                 "Please complete the code given below. \n",
                 "{input}Next line of code:\n"}};

// Judged by words that the Python package jieba finds in Chinese text with a dictionary of its own.
constexpr std::array<std::string_view, 3> kUnjudged{"multifieldqa_zh", "dureader", "vcsum"};

}  // namespace

const LongBenchSet* find_longbench_set(std::string_view name) {
  if (name.ends_with("_e")) {
    name.remove_suffix(2);
  }
  const auto* const found = std::ranges::find(kSets, name, &LongBenchSet::name);
  return found == kSets.end() ? nullptr : found;
}

bool is_unjudged_longbench_set(std::string_view name) {
  return std::ranges::find(kUnjudged, name) != kUnjudged.end();
}

std::string longbench_set_names() {
  std::string names;
  for (const LongBenchSet& set : kSets) {
    names += (names.empty() ? "" : ", ") + std::string(set.name);
  }
  return names;
}

}  // namespace kvg::datasets
