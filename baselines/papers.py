"""The papers of the built-in methods: where each is found, and how it is cited."""

from __future__ import annotations

from typing import NamedTuple


class Paper(NamedTuple):
    """What a record says of where its method comes from."""

    where: str  # arXiv number, or address
    bibtex: str


FORGETTING = Paper(
    "arXiv:1812.05159",
    """@inproceedings{toneva2019forgetting,
  title = {An Empirical Study of Example Forgetting during Deep Neural Network Learning},
  author = {Toneva, Mariya and Sordoni, Alessandro and Tachet des Combes, Remi and Trischler, Adam
            and Bengio, Yoshua and Gordon, Geoffrey J.},
  booktitle = {ICLR}, year = {2019}}""",
)
DATA_DIET = Paper(
    "arXiv:2107.07075",
    """@inproceedings{paul2021datadiet,
  title = {Deep Learning on a Data Diet: Finding Important Examples Early in Training},
  author = {Paul, Mansheej and Ganguli, Surya and Dziugaite, Gintare Karolina},
  booktitle = {NeurIPS}, year = {2021}}""",
)
AUM = Paper(
    "arXiv:2001.10528",
    """@inproceedings{pleiss2020aum,
  title = {Identifying Mislabeled Data using the Area Under the Margin Ranking},
  author = {Pleiss, Geoff and Zhang, Tianyi and Elenberg, Ethan and Weinberger, Kilian Q.},
  booktitle = {NeurIPS}, year = {2020}}""",
)
CCS = Paper(
    "arXiv:2210.15809",
    """@inproceedings{zheng2023ccs,
  title = {Coverage-centric Coreset Selection for High Pruning Rates},
  author = {Zheng, Haizhong and Liu, Rui and Lai, Fan and Prakash, Atul},
  booktitle = {ICLR}, year = {2023}}""",
)
MODERATE = Paper(
    "https://openreview.net/forum?id=7D5EECbOaf9",
    """@inproceedings{xia2023moderate,
  title = {Moderate Coreset: A Universal Method of Data Selection for Real-world Data-efficient Deep Learning},
  author = {Xia, Xiaobo and Liu, Jiale and Yu, Jun and Shen, Xu and Han, Bo and Liu, Tongliang},
  booktitle = {ICLR}, year = {2023}}""",
)
BWS = Paper(
    "arXiv:2406.03057",
    """@inproceedings{choi2024bws,
  title = {{BWS}: Best Window Selection Based on Sample Scores for Data Pruning across Broad Ranges},
  author = {Choi, Hoyong and Ki, Nohyun and Chung, Hye Won},
  booktitle = {ICML}, year = {2024}}""",
)
DEEPCORE = Paper(
    "arXiv:2204.08499",
    """@inproceedings{guo2022deepcore,
  title = {DeepCore: A Comprehensive Library for Coreset Selection in Deep Learning},
  author = {Guo, Chengcheng and Zhao, Bo and Bai, Yanbing},
  booktitle = {DEXA}, year = {2022}}""",
)
SCALING = Paper(
    "arXiv:2206.14486",
    """@inproceedings{sorscher2022beyond,
  title = {Beyond neural scaling laws: beating power law scaling via data pruning},
  author = {Sorscher, Ben and Geirhos, Robert and Shekhar, Shashank and Ganguli, Surya and Morcos, Ari S.},
  booktitle = {NeurIPS}, year = {2022}}""",
)
MAPS = Paper(
    "arXiv:2009.10795",
    """@inproceedings{swayamdipta2020dataset,
  title = {Dataset Cartography: Mapping and Diagnosing Datasets with Training Dynamics},
  author = {Swayamdipta, Swabha and Schwartz, Roy and Lourie, Nicholas and Wang, Yizhong and Hajishirzi, Hannaneh
            and Smith, Noah A. and Choi, Yejin},
  booktitle = {EMNLP}, year = {2020}}""",
)
PROXY = Paper(
    "arXiv:1906.11829",
    """@inproceedings{coleman2020selection,
  title = {Selection via Proxy: Efficient Data Selection for Deep Learning},
  author = {Coleman, Cody and Yeh, Christopher and Mussmann, Stephen and Mirzasoleiman, Baharan and Bailis, Peter
            and Liang, Percy and Leskovec, Jure and Zaharia, Matei},
  booktitle = {ICLR}, year = {2020}}""",
)
DYN_UNC = Paper(
    "arXiv:2306.05175",
    """@inproceedings{he2024largescale,
  title = {Large-scale Dataset Pruning with Dynamic Uncertainty},
  author = {He, Muyang and Yang, Shuo and Huang, Tiejun and Zhao, Bo},
  booktitle = {CVPR Workshops}, year = {2024}}""",
)
TDDS = Paper(
    "arXiv:2311.13613",
    """@inproceedings{zhang2024spanning,
  title = {Spanning Training Progress: Temporal Dual-Depth Scoring ({TDDS}) for Enhanced Dataset Pruning},
  author = {Zhang, Xin and Du, Jiawei and Li, Yunsong and Xie, Weiying and Zhou, Joey Tianyi},
  booktitle = {CVPR}, year = {2024}}""",
)
DUAL = Paper(
    "arXiv:2502.06905",
    """@inproceedings{cho2025lightweight,
  title = {Lightweight Dataset Pruning without Full Training via Example Difficulty and Prediction Uncertainty},
  author = {Cho, Yeseul and Shin, Baekrok and Kang, Changmin and Yun, Chulhee},
  booktitle = {ICML}, year = {2025}}""",
)
KCENTER = Paper(
    "arXiv:1708.00489",
    """@inproceedings{sener2018active,
  title = {Active Learning for Convolutional Neural Networks: A Core-Set Approach},
  author = {Sener, Ozan and Savarese, Silvio},
  booktitle = {ICLR}, year = {2018}}""",
)
HERDING = Paper(
    "https://doi.org/10.1145/1553374.1553517",
    """@inproceedings{welling2009herding,
  title = {Herding Dynamical Weights to Learn},
  author = {Welling, Max},
  booktitle = {ICML}, year = {2009}}""",
)
ZCORE = Paper(
    "arXiv:2411.15349",
    """@article{griffin2024zcore,
  title = {Zero-Shot Coreset Selection: Efficient Pruning for Unlabeled Data},
  author = {Griffin, Brent A. and Marks, Jacob and Corso, Jason J.},
  journal = {arXiv:2411.15349}, year = {2024}}""",
)
ELFS = Paper(
    "arXiv:2406.04273",
    """@inproceedings{zheng2025elfs,
  title = {{ELFS}: Label-Free Coreset Selection with Proxy Training Dynamics},
  author = {Zheng, Haizhong and Tsai, Elisa and Lu, Yifu and Sun, Jiachen and Bartoldson, Brian R.
            and Kailkhura, Bhavya and Prakash, Atul},
  booktitle = {ICLR}, year = {2025}}""",
)
D2 = Paper(
    "arXiv:2310.07931",
    """@inproceedings{maharana2024d2,
  title = {{D2} Pruning: Message Passing for Balancing Diversity \\& Difficulty in Data Pruning},
  author = {Maharana, Adyasha and Yadav, Prateek and Bansal, Mohit},
  booktitle = {ICLR}, year = {2024}}""",
)
SUBMODULAR = Paper(
    "arXiv:2006.15412",
    """@inproceedings{iyer2021submodular,
  title = {Submodular Combinatorial Information Measures with Applications in Machine Learning},
  author = {Iyer, Rishabh and Khargonkar, Ninad and Bilmes, Jeff and Asnani, Himanshu},
  booktitle = {ALT}, year = {2021}}""",
)
DROP = Paper(
    "arXiv:2404.05579",
    """@inproceedings{vysogorets2025drop,
  title = {{DRoP}: Distributionally Robust Data Pruning},
  author = {Vysogorets, Artem and Ahuja, Kartik and Kempe, Julia},
  booktitle = {ICLR}, year = {2025}}""",
)
NO_FREE_LUNCH = Paper(
    "arXiv:2302.06960",
    """@article{ayed2023data,
  title = {Data Pruning and Neural Scaling Laws: Fundamental Limitations of Score-Based Algorithms},
  author = {Ayed, Fadhel and Hayou, Soufiane},
  journal = {TMLR}, year = {2023}}""",
)
CRAIG = Paper(
    "arXiv:1906.01827",
    """@inproceedings{mirzasoleiman2020coresets,
  title = {Coresets for Data-efficient Training of Machine Learning Models},
  author = {Mirzasoleiman, Baharan and Bilmes, Jeff and Leskovec, Jure},
  booktitle = {ICML}, year = {2020}}""",
)
GRADMATCH = Paper(
    "arXiv:2103.00123",
    """@inproceedings{killamsetty2021gradmatch,
  title = {{GRAD-MATCH}: Gradient Matching based Data Subset Selection for Efficient Deep Model Training},
  author = {Killamsetty, Krishnateja and Durga, S and Ramakrishnan, Ganesh and De, Abir and Iyer, Rishabh},
  booktitle = {ICML}, year = {2021}}""",
)
